# SPDX-License-Identifier: Apache-2.0
"""A cmake that plays the GAP SDK's GVSoC: it links the application with our PMSIS for the simulated
chip, and the target run runs it there.

FAKE_FAILS  "configure", "build", "hang", "silent" or "cut": what goes wrong
FAKE_BYTE   replaces the last byte that the program prints
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from myoedge.backends.build import Build
from myoedge.simulator import simulate
from tests.extensions.gap_sdk import sdk

RUNNER_ARGS = "runner_args"
FAILS = os.environ.get("FAKE_FAILS", "")


def configure(source: Path, made: Path, options: list[str]) -> int:
    config = (source / "sdk.config").read_text().splitlines()
    assert "CONFIG_PLATFORM_GVSOC=y" in config
    assert "CONFIG_PLATFORM_BOARD=y" not in config
    assert Path(os.environ["GAP_SDK_HOME"], "utils", "cmake", "setup.cmake").is_file()
    made.mkdir()
    on = [option.removeprefix("-D").removesuffix("=ON") for option in options if "=ON" in option]
    (made / "settings").write_text("\n".join([str(source), *on]))
    assert "-DME_UART=OFF" in options
    if FAILS == "configure":
        print("folders:", [path.name for path in source.iterdir() if path.is_dir()])
    return 1 if FAILS == "configure" else 0


def build(made: Path) -> int:
    if FAILS == "build":
        print("app.c:1: error: no such call")
        return 2
    source, *defines = (made / "settings").read_text().splitlines()
    (made / "app.elf").write_bytes(sdk.for_chip(Build(Path(source).parent), *defines).elf)
    return 0


def run(made: Path) -> int:
    if FAILS == "hang":
        time.sleep(60)
    given = os.environ.get(RUNNER_ARGS, "")
    if found := re.fullmatch(r"--flash-property=(.*)@flash:readfs_flash:files", given):
        (made / "l3.bin").write_bytes(Path(found.group(1)).read_bytes())
    ran = simulate((made / "app.elf").read_bytes(), folder=made)
    text = ran.output
    if byte := os.environ.get("FAKE_BYTE"):
        text = re.sub(r"(output \d+: [0-9a-f]*)[0-9a-f]{2}\n", rf"\g<1>{byte}\n", text)
    if FAILS == "cut":
        text = re.sub(r"(output \d+: [0-9a-f]*)[0-9a-f]\n", r"\g<1>\n", text)
    print("[gvsoc] started\n" + ("" if FAILS == "silent" else text))
    return ran.exit_code


def main(arguments: list[str]) -> int:
    if "-S" in arguments:
        source, made = (Path(arguments[arguments.index(option) + 1]) for option in ("-S", "-B"))
        return configure(source, made, arguments)
    made = Path(arguments[arguments.index("--build") + 1])
    return run(made) if "run" in arguments else build(made)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
