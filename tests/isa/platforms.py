# SPDX-License-Identifier: Apache-2.0
"""Where test programs run: the embedded simulator, an installed GVSoC."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.isa.program import RESULTS, SAVED, Program

MAX_CYCLES = 50_000_000


def run_simulator(program: Program) -> bytes:
    """The program's results on the embedded simulator, which must exit with 0."""
    from myoedge.simulator import RunOptions, simulate

    options = RunOptions(dump=[(RESULTS, program.results)])
    ran = simulate(program.elf, max_cycles=MAX_CYCLES, options=options)
    assert ran.exit_code == 0
    return ran.dumps[0]


def find_gvsoc() -> Path | None:
    """The installation that GVSOC_HOME or PATH names."""
    home = os.environ.get("GVSOC_HOME")
    found = shutil.which("gvsoc", path=f"{home}/bin" if home else None)
    return Path(found) if found else None


def run_gvsoc(gvsoc: Path, program: Program, folder: Path) -> bytes:
    """The results of a program made for GVSoC, on its target pulp-open; raises when it fails."""
    binary = folder / "program.elf"
    binary.write_bytes(program.elf)
    command = [
        str(gvsoc),
        "--target=pulp-open",
        f"--binary={binary}",
        f"--work-dir={folder}",
        "run",
    ]
    subprocess.run(command, check=True, cwd=folder, timeout=300)
    return (folder / SAVED).read_bytes()
