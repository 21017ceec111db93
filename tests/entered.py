# SPDX-License-Identifier: Apache-2.0
"""Files and functions of the package that a small build enters, against their limits in
tests/size.toml: `make check` runs it.

python -m tests.entered        prints them by package; exit code 1 if a limit is exceeded
python -m tests.entered list   also prints each function, with the one that called it first
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
import tomllib
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch

from tests.size import LIMITS, ROOT

PACKAGE = f"{ROOT / 'myoedge'}{os.sep}"
IS_FUNCTION = 1  # CO_OPTIMIZED: neither a module nor the body of a class
Callers = dict[CodeType, CodeType | None]


def entered_functions() -> Callers:
    """Return the named functions that a build of one linear layer enters, in a process that has
    built it before, with the function that called each first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)  # other weights take other ways through the searches
        model = torch.nn.Linear(16, 4).eval()
        program = torch.export.export(model, (torch.zeros(1, 16),))
        torch.export.save(program, folder / "linear.pt2")
        samples = np.random.default_rng(0).standard_normal((64, 16))
        np.savez(folder / "calib.npz", input=samples.astype(np.float32))
        os.environ |= {"MYOEDGE_STAGES": "off", "MYOEDGE_CACHE": str(folder / "cache")}
        os.chdir(folder)
        _build("first")
        callers = Callers()

        def note(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code not in callers:
                callers[frame.f_code] = frame.f_back.f_code if frame.f_back else None

        threading.setprofile(note)
        sys.setprofile(note)
        _build("second")
        sys.setprofile(None)
        threading.setprofile(None)
    return {code: caller for code, caller in callers.items() if _is_named(code)}


def _build(output: str) -> None:
    from myoedge.cli import main

    command = ["build", "--target", "gap9", "linear.pt2", "--calib", "calib.npz", "-o", output]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(command)
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"the build ends with exit code {end.code}") from end


def _is_named(code: CodeType) -> bool:
    is_function = bool(code.co_flags & IS_FUNCTION) and not code.co_name.startswith("<")
    return is_function and code.co_filename.startswith(PACKAGE)


def _place(code: CodeType) -> str:
    return code.co_filename.removeprefix(PACKAGE)


def main() -> int:
    entered = entered_functions()
    files = {_place(code) for code in entered}
    if sys.argv[1:] == ["list"]:
        for code in sorted(entered, key=lambda x: (_place(x), x.co_firstlineno)):
            caller = entered[code]
            by = f"{_place(caller)}:{caller.co_qualname}" if caller else ""
            print(f"{_place(code)}:{code.co_firstlineno} {code.co_qualname} <- {by}")
    by_package = Counter(_place(code).split("/")[0] for code in entered)
    for package, count in by_package.most_common():
        of_files = len({x for x in files if x.split("/")[0] == package})
        print(f"{package:<20}{count:>6,} functions in {of_files:>3} files")
    limits = tomllib.loads(LIMITS.read_text(encoding="utf-8"))["entered"]
    exceeded = False
    for name, value in (("files", len(files)), ("functions", len(entered))):
        print(f"{name:<20}{value:>6,}   limit {limits[name]:>6,}")
        exceeded |= value > limits[name]
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
