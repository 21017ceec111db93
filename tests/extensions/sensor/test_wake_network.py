# SPDX-License-Identifier: Apache-2.0
"""[wake] by an output of the network: a network in front of it, or an early exit; in C on this
machine and on the simulated chip, by definition."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build, load_build
from myoedge.building.config import Found, from_tables
from myoedge.building.operating_points import stored_period
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.playback import program_of
from myoedge.extensions.sensor.program import JSON, SampleLayout, from_json
from myoedge.extensions.sensor.wake import Gate, GateOutput, gate_options
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes.join import joined
from myoedge.reports.duty_lines import on_average
from myoedge.simulator import Fault
from tests.conftest import save_exported, thinned
from tests.extensions.sensor import applications
from tests.extensions.sensor import sensor_player as player
from tests.extensions.sensor.test_wake import alternating, armband
from tests.support.schemas import check, check_folder

SENSOR = {"sensor": {**applications.ARMBAND, "hop": 8}}
LAYOUT, HOP = SampleLayout(4, 20, 2), 6


class Mean(nn.Module):
    """Rest or not, from the mean of a small convolution."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(outputs)
        self.conv = nn.Conv1d(8, 4, 5, stride=4)
        self.classes = nn.Linear(4, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.conv(x).abs().mean(-1))


class Loop(nn.Module):
    """Rest or not, from a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.cell = nn.Linear(16, 8)
        self.classes = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(1, 8)
        for step in range(8):
            h = torch.tanh(self.cell(torch.cat([x[:, :, 5 * step], h], 1)))
        return self.classes(h)


class Rolled(Loop):
    """A recurrence with two states, which becomes a loop."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = g = x.new_zeros(1, 8)
        for step in range(20):
            h = torch.tanh(self.cell(torch.cat([x[:, :, 2 * step], h], 1)))
            g = torch.tanh(h + 0.5 * g)
        return self.classes(g)


# ---- in C on this machine


@pytest.mark.parametrize(
    ("values", "rest", "limit", "hold"),
    [(1, 0, 5, 0), (2, 0, 3, 2), (2, 1, -20, 0), (5, 3, 90, 1), (3, 2, -300, 0), (2, 0, 300, 4)],
)
def test_recordings_in_c(values: int, rest: int, limit: int, hold: int, tmp_path: Path) -> None:
    """Each window's rest by definition; a run that ended sends the class of rest."""
    output = GateOutput(1, values, rest, "int8", 1)
    made = replace(
        player.program(LAYOUT, HOP),
        gate=Gate(limit, hold, 4, 0.0, output=output),
        other_outputs_bytes=(values,),
    )
    counts = alternating(values, 1200)
    q = player.integers(made, counts)
    app = player.compiled(made, tmp_path, sdk=values > 2)
    found = player.played(app, counts, [(700, "missed", 0)])
    rows = [x for x in found if x.kind == player.DECISION and x.frame < len(counts)]
    rests: dict[int, bool] = {}
    for number, packet in enumerate(rows):
        first = packet.frame - made.layout.samples + 1
        if number == 0 or packet.flags & player.LOST:
            rests = player.resting_by_output(made, q, first)
        assert bool(packet.flags & player.RESTING) == rests[packet.frame]
        scores = player.results(made, player.window(made, q, first))
        assert packet.decision == ((4, 0) if rests[packet.frame] else player.decision(scores))
    assert len(rows) > 150
    share = np.mean([bool(x.flags & player.RESTING) for x in rows])
    if abs(limit) < 256:
        assert 0 < share < 1
    else:
        assert share == (0 if limit < 0 else pytest.approx(1, abs=0.1))


# ---- on the simulated chip


def expected(build: Build, counts: Array) -> tuple[list[bool], list[int]]:
    """Whether the network rests on each window, and what is reported, from the outputs of the
    reference alone."""
    gate = program_of(build).gate
    assert gate is not None
    assert gate.output is not None
    left, rests, classes = gate.hold, [], []
    for frame in range(39, len(counts), 8):
        outputs = build.run(counts[frame - 39 : frame + 1].T[None])
        params = build.network.params[build.network.graph.outputs[gate.output.number]]
        real = np.asarray(outputs[gate.output.number], np.float64).ravel()
        q = np.rint(real / params.scale).astype(int)
        one = len(q) == 1
        value = q[0] + params.zero_point if one else np.delete(q, gate.output.rest).max()
        above = value - (0 if one else q[gate.output.rest]) >= gate.limit
        rests.append(not above and left == 0)
        left = gate.hold if above else max(left - 1, 0)
        classes.append(gate.rest if rests[-1] else int(outputs[0].argmax()))
    return rests, classes


CASES: dict[str, tuple[Any, nn.Module | None, dict[str, Any], dict[str, Any]]] = {
    "network": (applications.Windows, Mean(), {"model": "gate.pt2"}, {}),
    "one value": (applications.Windows, Mean(1), {"model": "gate.pt2"}, {}),
    "loop": (applications.Windows, Loop(), {"model": "gate.pt2", "rest_output": 2}, {}),
    "late in forward()": (applications.LateGate, None, {"output": "early", "rest_output": 1}, {}),
    "rolled loop": (applications.Windows, Rolled(), {"model": "gate.pt2"}, {}),
    "early exit": (applications.Early, None, {"output": "early", "rest_output": 1}, {}),
    "int16": (
        applications.Windows,
        Mean(3),
        {"model": "gate.pt2", "rest_output": 1},
        {"quant": {"gate.classes": {"activations": 16}}},
    ),
    "weights in MRAM": (
        applications.Wide,
        Mean(),
        {"model": "gate.pt2"},
        {"budget": {"l2": "72KiB"}, "memory": "mram=auto"},
    ),
    "weights behind L2": (
        applications.Wide,
        Mean(),
        {"model": "gate.pt2"},
        {"budget": {"l2": "72KiB"}},
    ),
}


def built(folder: Path, name: str, **wake: Any) -> Build:
    kind, gate, keys, tables = CASES[name]
    table = {"hold": 1, "rest": 1, **keys, **wake}
    return applications.built(folder, kind, 40, gate=gate, **SENSOR, wake=table, **tables)


def half_way(name: str, counts: Array) -> float:
    """A threshold that a fifth of the windows of a recording reaches, in floats."""
    kind, gate, keys, _ = CASES[name]
    torch.manual_seed(0)
    network = kind(8).eval() if gate is None else gate.eval()
    values = []
    for frame in range(39, len(counts), 8):
        window = torch.tensor(counts[frame - 39 : frame + 1].T[None], dtype=torch.float32)
        with torch.no_grad():
            found = network(window)
        real = np.ravel(found["early"] if gate is None else found)
        at = keys.get("rest_output", 0)
        others = np.delete(real, at) if len(real) > 1 else real
        values.append(float(others.max() - (real[at] if len(real) > 1 else 0.0)))
    return float(np.quantile(values, 0.8))


@pytest.mark.parametrize("name", thinned(CASES))
def test_a_playback(tmp_path: Path, name: str) -> None:
    counts = armband(1)
    build = built(tmp_path, name, threshold=half_way(name, counts))
    rests, classes = expected(build, counts)
    played = myoedge.play(build, counts)
    assert (played.exact, played.samples_lost) == (True, 0)
    assert [x.is_resting for x in played.decisions] == rests
    assert [x.class_index for x in played.decisions] == classes
    assert {*rests} == {False, True}
    assert played.wake is not None
    assert check({"schema": "myoedge.playback/1", **played.to_json()})
    assert "myoedge.sensor/1" in check_folder(build.folder)
    program = program_of(build)
    assert from_json(json.loads(build.written(JSON))) == program
    assert program.gate is not None
    assert program.gate.output is not None
    labels = [row["label"] for row in build.report["layers"]]
    is_of_gate = [label.startswith("gate") for label in labels]
    at = program.gate.layers
    assert 0 < at < len(labels)
    if "model" in CASES[name][2]:
        assert is_of_gate == [number < at for number in range(len(labels))]
    else:
        assert at == 4  # transpose, conv, mean, linear
    levels = {level for level, size in build.report["memory"]["levels"].items() if size}
    behind = {"weights behind L2": {"l3"}, "weights in MRAM": {"mram"}}
    assert levels == behind.get(name, set())
    assert program.gate.output.dtype == "int16" or name != "int16"
    if name == "network":
        rows = {row.key: row.shown for row in myoedge.evidence(build).requirements}
        assert rows["LOOP-1"] is True
    if name == "early exit":
        faulty = myoedge.play(build, counts, faults=[Fault(400, "missed", 0)])
        assert not faulty.compared.wrong
        assert faulty.samples_lost > 0


@pytest.mark.parametrize("name", ["network", "weights behind L2"])
def test_the_layers_behind_the_gate_do_not_run(tmp_path: Path, name: str) -> None:
    """The cluster computes as long as the first layers take, on windows at rest."""
    counts = armband(2)
    spent, planned_mw = {}, {}
    for threshold in (-1e6, 1e6):
        build = built(tmp_path, name, threshold=threshold, hold=0)
        planned = load_build(build.folder).report
        planned_mw[threshold] = planned["duty"]["average_mw"][0]
        played = myoedge.play(build, counts)
        assert played.exact
        assert {x.is_resting for x in played.decisions} == {threshold > 0}
        spent[threshold] = played.power.states_s["run"]
        simulated = myoedge.simulate(build.folder).report
        period = stored_period(simulated)
        assert period.rest_share == (threshold > 0)
        cycles = [row["cycles"] for row in simulated["layers"]]
        gate = program_of(build).gate
        assert gate is not None
        assert period.rest_layers == gate.layers
        first, whole = sum(cycles[: gate.layers]), sum(cycles)
    if name == "network":  # others wait for transfers outside the layers
        assert spent[1e6] / spent[-1e6] == pytest.approx(first / whole, rel=0.25)
    assert spent[1e6] < spent[-1e6]
    assert planned_mw[1e6] < planned_mw[-1e6]
    assert "100.0 % of them at rest" in on_average(planned)
    assert "at rest" not in on_average(simulated)  # of the playback


def test_outputs_and_layers_are_those_of_both_networks(tmp_path: Path) -> None:
    """As each of them built alone, in floats; names of the second begin with `gate`."""
    build = built(tmp_path, "network", threshold=0.0)
    torch.manual_seed(0)
    both, x = (applications.Windows(8).eval(), CASES["network"][1]), applications.emg()[:40].T[None]
    assert [row["name"] for row in build.report["outputs"]] == ["output", "gate.output"]
    for network, found in zip(both, build.run(x), strict=True):
        assert isinstance(network, nn.Module)
        wanted = network(torch.tensor(x)).detach().numpy()
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    labels = [row["label"].split(" ")[0] for row in build.report["layers"]]
    gate = program_of(build).gate
    assert gate is not None
    assert all(label.startswith("gate") for label in labels[: gate.layers])
    assert not any(label.startswith("gate") for label in labels[gate.layers :])


@pytest.mark.parametrize(
    ("kind", "gate", "wake", "code", "says"),
    [
        ("LastLoop", None, {"output": "early"}, "E265", "layers behind it"),
        ("Early", None, {"output": "gestures"}, "E265", "an output after the first one"),
        ("Early", None, {"output": "early", "rest_output": 3}, "E265", "rest_output = 0 to 2"),
        ("Windows", nn.Flatten(), {"model": "gate.pt2"}, "E265", "layers behind it"),
        ("Windows", nn.Conv1d(8, 2, 5), {"model": "gate.pt2"}, "E265", "one axis of values"),
    ],
)
def test_what_is_refused(
    kind: str, gate: nn.Module | None, wake: dict[str, Any], code: str, says: str, tmp_path: Path
) -> None:
    table = {"threshold": 0.0, **wake}
    model = getattr(applications, kind)
    with pytest.raises(MyoedgeError, match=code) as raised:
        applications.built(tmp_path, model, 40, gate=gate, **SENSOR, wake=table)
    assert says in str(raised.value)


class Named(nn.Module):
    """A network whose module has the name of the gate, and its weights the same shape."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.gate = nn.Linear(320, 5)
        self.classes = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(torch.relu(self.gate(x.flatten(1))))


class Bare(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


def test_networks_with_equal_names_keep_their_weights() -> None:
    networks = {"first": Bare(320, 5).eval(), "second": Named().eval()}
    x = torch.randn(1, 8, 40)
    graphs = {
        name: from_exported(torch.export.export(network, (x,)))
        for name, network in networks.items()
    }
    graph = joined(graphs["first"], graphs["second"], "gate")
    assert (
        len({*graph.tensors, *graph.constants})
        == sum(len({*one.tensors, *one.constants}) for one in graphs.values()) - 1
    )  # the input
    values = run_float(graph, {graph.inputs[0]: x.numpy()})
    for name, network in zip(graph.outputs, reversed(networks.values()), strict=True):
        assert values[name] == pytest.approx(network(x).detach().numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "wake"),
    [("Early", {"output": "absent"}), ("Early", {"output": "early", "rest_output": 3})],
)
def test_remedies_build(kind: str, wake: dict[str, Any], tmp_path: Path) -> None:
    """The line that is printed, in the place of the key that it names."""
    model, table = getattr(applications, kind), {"threshold": 0.0, **wake}
    with pytest.raises(MyoedgeError, match="E265") as raised:
        applications.built(tmp_path, model, 40, **SENSOR, wake=table)
    (line,) = raised.value.notice.tries
    assert line.startswith("[wake] ")
    table |= tomllib.loads(line.removeprefix("[wake] "))
    built = applications.built(tmp_path, model, 40, **SENSOR, wake=table)
    assert program_of(built).gate is not None


@pytest.mark.parametrize(
    ("kind", "wake"), [("Windows", {"output": "early"}), ("LastLoop", {"output": "early"})]
)
def test_remedies_name_gates_that_build(kind: str, wake: dict[str, Any], tmp_path: Path) -> None:
    """By RMS, by a small network, by an output that the network returns as the remedy has it."""
    model, table = getattr(applications, kind), {"threshold": 1.0, **wake}
    with pytest.raises(MyoedgeError, match="E265") as raised:
        applications.built(tmp_path, model, 40, **SENSOR, wake=table)
    by_rms, by_model, by_output = raised.value.notice.tries
    assert by_rms.startswith("[wake] without output and model: ")
    assert by_model.startswith('[wake] model = "rest.pt2" in place of output: ')
    key = re.search(
        r"""return \{"classes": y, "(\w+)": g\}.*\[wake\] output = "(\w+)":""", by_output
    )
    assert key is not None
    assert key[1] == key[2] == "early", "as of the module Early"
    save_exported(Mean().eval(), (torch.zeros(1, 8, 40),), tmp_path / "rest.pt2")
    for network, changed in (
        (model, {"threshold": 1.0}),
        (model, {"threshold": 1.0, "model": "rest.pt2"}),
        (applications.Early, table),
    ):
        built = applications.built(tmp_path, network, 40, **SENSOR, wake=changed)
        gate = program_of(built).gate
        assert gate is not None
        assert (gate.output is None) == ({*changed} == {"threshold"})


def test_a_gate_exported_as_the_remedy_says(tmp_path: Path) -> None:
    """A network for windows of 60 samples in front of one for 40."""
    table = {"threshold": 0.0, "model": "gate.pt2"}
    for samples in (60, 40):
        save_exported(Mean().eval(), (torch.zeros(1, 8, samples),), tmp_path / "gate.pt2")
        if samples == 40:
            made = applications.built(tmp_path, applications.Windows, 40, **SENSOR, wake=table)
            assert program_of(made).gate is not None
            continue
        with pytest.raises(MyoedgeError, match="E209") as raised:
            applications.built(tmp_path, applications.Windows, 40, **SENSOR, wake=table)
        assert raised.value.notice.tries == ("export the gate for an input float32 [1, 8, 40]",)


def test_the_gate_s_file_is_beside_myoedge_toml(tmp_path: Path) -> None:
    save_exported(Mean().eval(), (torch.zeros(1, 8, 40),), tmp_path / "gate.pt2")
    tables = {"wake": {"model": "gate.pt2"}}
    found = gate_options(Found(from_tables(tables, "a.toml"), tmp_path))
    assert found == {"gate": tmp_path / "gate.pt2", "first": "gate"}
    assert gate_options(Found(from_tables({"wake": {}}, "a.toml"), tmp_path)) == {}
    assert gate_options(Found(from_tables({}, "a.toml"), tmp_path)) == {}


def test_weights_alone_are_no_gate(tmp_path: Path) -> None:
    torch.save(Mean().state_dict(), tmp_path / "weights.pt")
    table = {"threshold": 0.0, "model": "weights.pt"}
    with pytest.raises(MyoedgeError, match="E106") as raised:
        applications.built(tmp_path, applications.Windows, 40, **SENSOR, wake=table)
    assert "a file with its network" in str(raised.value)
