# SPDX-License-Identifier: Apache-2.0
"""What README and guides show of a terminal is what is printed. If not: make docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import transcripts


@pytest.mark.pages
def test_what_is_shown_is_what_is_printed(tmp_path: Path) -> None:
    transcripts.prepare(tmp_path)
    for page in transcripts.PAGES:
        shown = [*transcripts.transcripts(page)]
        assert shown, page
        for transcript in shown:
            told = transcripts.told(transcript.command, tmp_path)
            lines = transcripts.as_shown(told, transcript.lines)
            assert lines == [*transcript.lines], (page, transcript.command)


def test_left_out_lines_stand_for_any_number() -> None:
    assert transcripts.as_shown([*"abcde"], ("x", "...", "y", "z")) == ["a", "...", "d", "e"]
    assert transcripts.as_shown([*"abc"], ("x", "...")) == ["a", "..."]
    assert transcripts.as_shown([*"abc"], ("x",)) == ["a", "b", "c"]
