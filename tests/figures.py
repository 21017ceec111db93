# SPDX-License-Identifier: Apache-2.0
"""`make figures`: simulated cycles of all tables in docs/, and how near estimates are to them,
recorded anew; half an hour.

python -m tests.figures            every table, in the order of their dependencies
python -m tests.figures NAME ...   modules with this in their name
"""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    "tests.kernels.speed",
    "tests.kernels.ne16_speed",
    "tests.records.network_cycles",
    "tests.records.tinymyo_cost",
    "tests.records.engine_cycles",  # reads what the two before it have recorded
    "tests.records.network_fits",
    "tests.records.drawn_layers",
    "tests.records.engine_estimates",
    "tests.records.mlperf_tiny",
    "tests.transcripts",
)


def main() -> None:
    wanted = sys.argv[1:]
    for module in MODULES:
        if not wanted or any(word in module for word in wanted):
            print(module, flush=True)
            options = ["--record"] * (module != "tests.transcripts")
            subprocess.run([sys.executable, "-W", "ignore", "-m", module, *options], check=True)


if __name__ == "__main__":
    main()
