# SPDX-License-Identifier: Apache-2.0
"""C of the pages for customers and the macros of public headers, as C11 and as C++17."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER
from myoedge.system import tools
from tests.conftest import save_exported
from tests.extensions.gap_sdk.sdk import SHIM
from tests.extensions.gap_sdk.test_own_firmware import FIRMWARE, GUIDE, listed_defines

LANGUAGES = {"c": ["cc", "-std=c11"], "cpp": ["c++", "-std=c++17"]}
CONFIG = "[stream]\nrate = 1000\nhop = 4\n"
# What each page says about its C: how the folders of networks are found, and macros to define.
RELEASES = FIRMWARE.with_name("releases.md").read_text()
PAGES = {
    "own GAP9 firmware": (GUIDE, True, listed_defines()),
    "firmware": (FIRMWARE.read_text().removesuffix(GUIDE), False, []),
    "releases": (RELEASES, False, []),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders gesture (a stream with everything that a header can declare) and wake."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "stream.toml").write_text(CONFIG)
    torch.manual_seed(0)
    causal = nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Conv1d(8, 3, 3))
    networks = {
        "gesture": (causal, {"config": folder / "stream.toml", "stream": True, "checks": True}),
        "wake": (nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(2, 4, 20)), {"app": "gap-sdk"}),
    }
    for prefix, (network, options) in networks.items():
        model = save_exported(network, (torch.zeros(1, 2, 20),), folder / "model.pt2")
        samples = np.random.default_rng(0).standard_normal((8, 1, 2, 20), np.float32)
        options = {"weights_blob": prefix == "gesture", "simulate": False, **options}
        build = myoedge.build(
            model, calib=samples, output=folder / "builds" / prefix, prefix=prefix, **options
        )
        (folder / prefix).symlink_to(build.folder / "src")
    return folder


def compiled(project: Path, text: str, language: str, flags: list[str], *, chip: bool) -> None:
    file = project / f"page.{language}"
    file.write_text(text)
    folders = [project, project / "gesture", project / "wake"]
    folders += [project / "builds" / "wake" / SDK_FOLDER, SHIM] if chip else []
    command = [sys.executable, "-m", "ziglang", *LANGUAGES[language], *flags, "-c", "-o", "page.o"]
    done = tools.run([*command, *(f"-I{path}" for path in folders), file], cwd=project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_c_of_a_page_compiles_with_what_it_lists(project: Path, page: str, language: str) -> None:
    text, is_chip, defines = PAGES[page]
    snippets = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    assert len(snippets) > 1
    flags = ["-Wall", "-Wextra", "-Werror", *(f"-D{define}" for define in defines)]
    flags += ["-DME_GAP9"] * is_chip
    compiled(project, "".join(snippets), language, flags, chip=is_chip)


def macros(header: Path) -> Iterator[tuple[str, int | None]]:
    """Names of a header's macros, and how many arguments they take; None: an object."""
    found = re.findall(r"^#define (\w+)(\([^)]*\))?", header.read_text(), re.MULTILINE)
    for name, arguments in found:
        if not name.endswith("_H"):
            yield name, arguments.count(",") + 1 if arguments else None


def instances(header: Path) -> str:
    """C that uses every macro of a header once."""
    lines = []
    for name, arguments in macros(header):
        value = f"{name}({', '.join(['3'] * arguments)})" if arguments else name
        text = re.search(rf"#define {name}(?:\(.*?\))? (.*)", header.read_text())
        assert text is not None, name
        if arguments:
            lines.append(f"{value};")
        elif text.group(1).startswith("{"):
            kind = "char *const" if '"' in text.group(1) else "float"
            lines.append(f"static const {kind} of_{name}[] = {value};")
        elif text.group(1).startswith('"'):
            lines.append(f"static const char of_{name}[] = {value};")
        else:
            lines.append(f"static const double of_{name} = {value};")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_macro_of_public_headers_is_c_and_c_plus_plus(project: Path, language: str) -> None:
    headers = [
        project / "gesture" / "gesture.h",
        project / "wake" / "wake.h",
        project / "gesture" / "me_network_info.h",
        project / "builds" / "wake" / SDK_FOLDER / "me_gap.h",
        project / "gesture" / "library" / "me_blob.h",
        project / "gesture" / "library" / "me_slots.h",
    ]
    texts = [f'#include "{header}"\n' + instances(header) for header in headers]
    assert "ME_GAP_BUFFERS(3)" in "".join(texts)
    assert "WAKE_INPUT0_FACTORS" in "".join(texts)
    flags = ["-Wall", "-Wextra", "-Werror", "-Wno-unused", "-DME_GAP9", "-DME_PMSIS"]
    compiled(project, "".join(texts), language, flags, chip=True)
