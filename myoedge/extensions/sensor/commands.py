# SPDX-License-Identifier: Apache-2.0
"""The command `myoedge simulate --play`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from myoedge.cli.progress import stage_progress
from myoedge.cli.shell import DIFFERENT, Terminal, warn
from myoedge.errors import command


def play(terminal: Terminal, build: Path, *, play: str, save: str | None, **options: Any) -> None:
    """Play a recording; exit with an error code if decisions differ or samples are lost.

    options   as `verbs.play`
    """
    from myoedge.extensions.sensor import verbs
    from myoedge.system.folder import check_file, write_file

    if save is not None:
        check_file(Path(save))
    with stage_progress(terminal, "play"):
        played = verbs.play(build, play, **options)
    if save is not None:
        write_file(Path(save), played.run.line)
    if not terminal.json_printed("playback/1", played.to_json()):
        for line in played.lines():
            terminal.out.print(line, soft_wrap=True)
    warn(played.unlike, played.over, played.unwritten)
    if not played.exact or played.samples_lost:
        sys.exit(DIFFERENT)
    if played.over is not None:
        sys.exit(played.over.exit_code)
    if save is not None:
        terminal.next(command("monitor", save, "--build", build))
    else:
        terminal.next(command("simulate", build, "--play", play, "--save", "line.bin"))
