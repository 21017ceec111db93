# SPDX-License-Identifier: Apache-2.0
"""Records what GVSoC computes: `GVSOC_HOME=... python -m tests.isa.record` writes recorded.npz."""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.isa.loops import draw_nests, make_loop_program
from tests.isa.platforms import find_gvsoc, run_gvsoc
from tests.isa.trials import Size, draw_trials, make_pulp_program

RECORDED = Path(__file__).with_name("recorded.npz")
SEED = 20
SIZE = Size(plain=3, immediate=8, rows=16)
NESTS = 400


def digest() -> str:
    """Names the programs; another one was not recorded."""
    elves = [
        make_pulp_program(draw_trials(SEED, SIZE)).elf,
        make_loop_program(draw_nests(SEED, NESTS)).elf,
    ]
    return hashlib.sha256(b"".join(elves)).hexdigest()


def main() -> None:
    """Runs the programs of the test on GVSoC's pulp-open and writes what they leave."""
    gvsoc = find_gvsoc()
    if gvsoc is None:
        sys.exit("no gvsoc: set GVSOC_HOME to an installation, or put its bin folder on PATH")
    programs = {
        "trials": make_pulp_program(draw_trials(SEED, SIZE), for_gvsoc=True),
        "loops": make_loop_program(draw_nests(SEED, NESTS), for_gvsoc=True),
    }
    values = {}
    for name, program in programs.items():
        with tempfile.TemporaryDirectory() as folder:
            values[name] = np.frombuffer(run_gvsoc(gvsoc, program, Path(folder)), dtype="<u4")
    np.savez_compressed(
        RECORDED, digest=np.array(digest()), trials=values["trials"], loops=values["loops"]
    )


if __name__ == "__main__":
    main()
