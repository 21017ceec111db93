# SPDX-License-Identifier: Apache-2.0
"""Two builds in one program: their sources side by side, and C that runs both golden samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import myoedge
from myoedge.backends.build import Build
from tests.conftest import save_exported
from tests.golden.networks import convolutions, perceptron
from tests.golden.test_golden import drawn

OF_ONE_NETWORK = ("golden.h", *(f"firmware/{name}" for name in ("main.c", "layers.c", "results.h")))


def built(folder: Path, prefix: str, **options: str) -> Build:
    """The network of this prefix; both come from a file of one name."""
    network, shape = (
        (convolutions(), (1, 3, 16, 16)) if prefix == "gesture" else (perceptron(), (1, 16))
    )
    folder.mkdir(exist_ok=True)
    model = save_exported(drawn(network), (torch.zeros(shape),), folder / "model.pt2")
    samples = np.random.default_rng(1).standard_normal((8, *shape), np.float32)
    output = folder / prefix
    return myoedge.build(model, calib=samples, output=output, prefix=prefix, **options)  # type: ignore[arg-type]


def golden(build: Build, kind: str) -> str:
    """The integers of the golden sample, as a C initialiser."""
    with np.load(build.folder / "golden" / f"{kind}.npz") as arrays:
        (values,) = (arrays[name] for name in arrays.files if name.endswith(".q"))
    return ", ".join(map(str, values.ravel()))


def samples(*builds: Build) -> str:
    """golden.h of the program: what goes in and what must come out of each network."""
    lines = ["#include <stdint.h>"]
    for build in builds:
        for kind in ("input", "output"):
            name = f"{build.prefix}_{kind}"
            lines.append(f"_Alignas(4) static const int8_t {name}[] = {{ {golden(build, kind)} }};")
        lines.append(
            f"_Alignas(4) static int8_t {build.prefix}_found[sizeof {build.prefix}_output];"
        )
    return "\n".join(lines) + "\n"


def texts(folder: Path, *patterns: str) -> dict[str, str]:
    files = [path for pattern in patterns for path in folder.glob(pattern)]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def sources(*builds: Build) -> dict[str, str]:
    """Files of all builds: each network in a folder of its own, one library, one runtime."""
    files: dict[str, str] = {}
    for build in builds:
        src = build.folder / "src"
        own = texts(src, "network.[ch]", "weights.[ch]", "info.c", "stream.c", f"{build.prefix}.h")
        files |= {f"{build.prefix}/{name}": text for name, text in own.items()}
        common = texts(src, "library/*", "firmware/*.*", "*.h")
        common = {k: v for k, v in common.items() if k not in own and k not in OF_ONE_NETWORK}
        assert all(files.get(name, text) == text for name, text in common.items())
        files |= common
    return files
