# SPDX-License-Identifier: Apache-2.0
"""What every error and warning means and what to do about it: the text of `myoedge explain`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass

from myoedge.catalogue import model, running, usage
from myoedge.errors import EXIT_CODES, MyoedgeError, Notice


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's meaning in one line, and what there is to know about it."""

    code: str
    title: str
    text: str


# One paragraph a code: the code and its meaning, then why it matters and what to do.
_PARAGRAPHS = "\n".join(part.PARAGRAPHS for part in (model, usage, running))

_REMARKS = {
    4: """\
validate found a value in which the generated C and the NumPy reference differ. There is no
tolerance, so this is a bug in myoedge or in the C compiler, or src/ was edited. The first
difference is shown by layer and index: please report it with the build folder.""",
}


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every code with its meaning."""
    found = {}
    for paragraph in _PARAGRAPHS.strip().split("\n\n"):
        head, _, text = paragraph.partition("\n")
        code, _, title = head.partition(" ")
        found[code] = Entry(code, title, text)
    return found


_BY_EXIT_CODE = (
    f"myoedge explain NUMBER  all codes of an exit code: {', '.join(map(str, EXIT_CODES))}"
)


def explanation(code: str) -> str:
    """What a code means, why it matters, what to do, and its exit code.

    code    "E213", in capitals or not; or an exit code, "4"
    Errors: E208 where there is no such code.
    """
    wanted = code.strip().upper()
    if wanted.isdecimal() and int(wanted) in EXIT_CODES:
        return _of_exit(int(wanted))
    found = entries().get(wanted)
    if found is None:
        tries = [f"myoedge explain {name}  {entries()[name].title}" for name in _near(wanted)]
        raise MyoedgeError("E208", f"there is no code {code!r}", tries=tries or [_BY_EXIT_CODE])
    return f"{found.code}  {found.title}\n\n{found.text}\n\n{_exit_line(found)}"


def _near(wanted: str) -> list[str]:
    """Three codes that may have been meant: the same beginning counts more than the same digits."""
    alike = difflib.get_close_matches(wanted, entries(), len(entries()), 0.5)
    return sorted(alike, key=lambda code: not code.startswith(wanted[:3]))[:3]


def _exit_line(entry: Entry) -> str:
    exit_code = Notice(entry.code, entry.title).exit_code
    start = "A warning. With --strict an error, exit code" if entry.code[0] == "W" else "Exit code"
    return f"{start} {exit_code}: {EXIT_CODES[exit_code]}."


def _of_exit(exit_code: int) -> str:
    """An exit code, and the errors that have it."""
    codes = [
        f"{e.code}  {e.title}"
        for e in entries().values()
        if e.code[0] == "E" and Notice(e.code, e.title).exit_code == exit_code
    ]
    body = "\n".join(filter(None, (_REMARKS.get(exit_code), *codes)))
    title = f"Exit code {exit_code}: {EXIT_CODES[exit_code]}."
    return f"{title}\n\n{body}" if body else title
