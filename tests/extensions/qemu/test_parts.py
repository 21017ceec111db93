# SPDX-License-Identifier: Apache-2.0
"""Programs for Cortex-M besides one network's own, in QEMU: adaptation, two networks."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from myoedge.backends.build import Build
from myoedge.codegen.firmware import link
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation.commands import Command
from myoedge.extensions.adaptation.running import runner, settings_of
from myoedge.extensions.adaptation.table import METHODS
from myoedge.extensions.qemu import runner as qemu
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.conftest import Ran
from tests.extensions.adaptation import adapting
from tests.extensions.adaptation.test_adapting import CHANNELS, Network, drawn, samples
from tests.extensions.adaptation.test_adapting import built as built_adapting
from tests.extensions.qemu.test_qemu import CORES, in_qemu
from tests.firmware import two_networks
from tests.firmware.test_two_networks import RUNS_BOTH_ON_CHIP

pytestmark = in_qemu
TARGETS = [CORES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in CORES[1:])]
MAIN = f"""{RUNS_BOTH_ON_CHIP}
void me_cluster_run(me_work work, void *argument) {{ work(ME_CONTROL_CORE, argument); }}
"""


@pytest.fixture(scope="module", params=TARGETS)
def adapts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    adapt = {"methods": [*METHODS], "replay": "240", "channels": CHANNELS}
    folder = tmp_path_factory.mktemp("adapts")
    return built_adapting(folder, Network(), adapt, target=request.param)


def ram_of_file(elf: bytes, name: str) -> int:
    """Bytes of arrays in RAM that one C file of a program defines, and of the features."""
    file, total = ELFFile(io.BytesIO(elf)), 0
    writable = {n for n, s in enumerate(file.iter_sections()) if s["sh_flags"] & 1}
    for symbol in file.get_section_by_name(".symtab").iter_symbols():
        if symbol["st_info"]["type"] == "STT_FILE":
            current = symbol.name
        elif symbol["st_info"]["type"] == "STT_OBJECT" and symbol["st_shndx"] in writable:
            is_own = current == name or symbol.name == "me_adapt_features"
            total += symbol["st_size"] if is_own else 0
    return total


@pytest.mark.parametrize("method", METHODS[:3])
def test_every_state_of_a_session_is_the_references(adapts: Build, method: str) -> None:
    windows, labels = drawn(adapts, 12, METHODS.index(method))
    steps = [*c.session(method, windows, labels)][:-1]
    answers = runner(adapts, "qemu")([one for step in steps for one in (step, Command(c.STATE))])
    states = [adapting.parsed(settings_of(adapts), x.content) for x in answers[1::2]]
    expected = adapting.reference_states(settings_of(adapts), method, windows, labels)
    for found, state in zip(states[::2], expected, strict=True):
        adapting.assert_equal(found, state)


@pytest.mark.parametrize("method", METHODS)
def test_sessions_end_as_on_the_host(adapts: Build, method: str) -> None:
    """Classifiers, decisions and features of real windows: the host's are the reference's."""
    x, labels = samples(12, 1, 1)
    inputs = [c.infer(adapts.network.input_integers("x", window[None])) for window in x]
    steps = [*c.session(method, inputs, labels), Command(c.SAVE), *inputs, Command(c.CLASS)]
    on_host, on_chip = (runner(adapts, name)(steps) for name in ("host", "qemu"))
    assert [(a.result, a.content) for a in on_chip] == [(a.result, a.content) for a in on_host]


def test_adapt_compares_qemu_with_the_host(adapts: Build, run: Callable[..., Ran]) -> None:
    folder = adapts.folder.parent
    for name, shift in (("day2", 1), ("rest", 2)):
        x, labels = samples(12, shift, 1)
        np.savez(folder / f"{name}.npz", input=x, label=labels)
    given = ("--data", folder / "day2.npz", "--test", folder / "rest.npz", "--on")
    told = run("adapt", adapts.folder, *given, "qemu").out
    assert "QEMU equal to the C on the host" in told
    assert "energy" not in told
    used_bytes = ram_of_file(adapts.written("adapt.elf"), "me_adapt_network.c")
    assert f"RAM of the adaptation: {used_bytes:,} B" in told
    told = " ".join(run("report", adapts.folder).out.split())
    assert f"{used_bytes / 1024:.2f} KiB of RAM" in told
    refused = run("adapt", adapts.folder, *given, "simulator")
    assert (refused.code, "E240" in refused.err) == (2, True)


@pytest.mark.parametrize("target", TARGETS)
def test_two_networks_run_in_one_program(target: str, tmp_path: Path) -> None:
    builds = [two_networks.built(tmp_path, prefix, target=target) for prefix in ("gesture", "wake")]
    files = {**two_networks.sources(*builds), "golden.h": two_networks.samples(*builds)}
    program = find_chip(target).program
    assert program is not None
    program = replace(program, defines=())  # no ME_TRACE, which is of one network
    for wrong in (0, 1):
        files["main.c"] = MAIN.replace("int wrong = 0;\n    for", f"int wrong = {wrong};\n    for")
        elf = link(files, defines=("ME_SHARED_L1",), target=program).elf
        (tmp_path / "firmware.elf").write_bytes(elf)
        command = (qemu.find(), "-machine", BOARDS[target].machine, "-kernel", "firmware.elf")
        ended = tools.run((*command, *qemu.FLAGS), cwd=tmp_path, timeout_s=300)
        assert ended.returncode == wrong


def test_a_session_with_a_device_is_answered_with_one_of_recordings(
    adapts: Build, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    """No application for this chip reads a line: what runs here are recorded windows."""
    refused = run("adapt", adapts.folder, "--port", tmp_path / "tty", "--json").json["error"]
    assert refused["code"] == "E268"
    (remedy,) = refused["tries"]
    given = {}
    for seed, name in enumerate(("NEW", "OTHER")):
        x, labels = samples(12, 1, seed)
        given[name] = tmp_path / f"{name}.npz"
        np.savez(given[name], x=x, label=labels)
    words = [str(given.get(word, word)) for word in shlex.split(remedy)]
    assert run(*words[1:]).code == 0
