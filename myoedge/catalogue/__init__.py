# SPDX-License-Identifier: Apache-2.0
"""Explanations of all error and warning codes, the text of `myoedge explain`; messages and remedies
of all warnings."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from myoedge.errors import EXIT_CODES, MyoedgeError, Notice, notice


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A row of a warning's message.

    key    "title", "try" for a remedy, or the name of a fact
    when   names of values that must be true: the row is left out otherwise
    text   {name} in it is a value
    """

    key: str
    when: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The explanation of an error or warning code.

    code    the code, such as "E213"
    title   its meaning in one line
    text    its explanation
    rows    of a warning: its message, remedies best first. Of several titles, and of several facts
            with the same name, the first that applies is used
    """

    code: str
    title: str
    text: str
    rows: tuple[MessageRow, ...] = ()


# Codes of exit code 1 (model files), of 2 (arguments, samples, files, folders), other errors, and
# warnings. One paragraph per code: code and meaning, then why it matters and what to do. Rows of a
# warning's message follow, indented by two spaces; the rest of a long row is indented by four.
_TEXTS = ("model.txt", "usage.txt", "running.txt", "warnings.txt")
_ROW = re.compile(r"  ([\w ]+?)(?: if ([\w ]+))?: (.+)")

# W303 and W304 explain why cycles are estimated. `flash` warns of W601 and W602 before it writes,
# `monitor` of W603, W604 and W606 while it listens, `simulate --play` of W605.
_NEVER_ERROR = re.compile("W303|W304|W60[1-6]")

_REMARKS = {
    4: """\
validate found a value in which the generated C and the NumPy reference differ. There is no
tolerance, so this is a bug in myoedge or in the C compiler, or src/ was edited. The first
difference is shown by layer and index: please report it with the build folder.""",
}


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Return all explanations: error or warning code -> entry."""
    texts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in _TEXTS]
    entry_of = {}
    for paragraph in "\n".join(texts).strip().split("\n\n"):
        head, _, text = paragraph.partition("\n")
        code, _, title = head.partition(" ")
        explained, *rows = re.split(r"\n(?=  \w)", text)
        entry_of[code] = Entry(code, title, explained, tuple(map(_row, rows)))
    return entry_of


def _row(line: str) -> MessageRow:
    match = _ROW.fullmatch(re.sub(r"\n +", " ", line))
    if match is None:
        raise ValueError(f"not a row of a warning: {line}")
    return MessageRow(match[1], tuple((match[2] or "").split()), match[3])


def warning(
    code: str,
    values: Mapping[str, object],
    facts: Mapping[str, object] | None = None,
    tries: Iterable[str] = (),
) -> Notice:
    """Return a warning with the title, the facts and the remedies of the catalogue.

    values   numbers and names of the texts; those that are true decide which rows apply
    facts    more facts, after those of the catalogue
    tries    more remedies, after those of the catalogue
    """
    rows = [
        (row.key, row.text.format_map(values))
        for row in entries()[code].rows
        if all(map(values.get, row.when))
    ]
    first: dict[str, object] = {}
    for key, text in rows:
        first.setdefault(key, text)
    told = {key: text for key, text in first.items() if key not in ("title", "try")}
    remedies = dict.fromkeys([*(text for key, text in rows if key == "try"), *tries])
    return notice(code, str(first["title"]), {**told, **(facts or {})}, remedies)


def meanings() -> str:
    """Return every error and warning code with its meaning, one line each, in order."""
    return "\n".join(f"{code}  {entry.title}" for code, entry in sorted(entries().items()))


_NEEDS = f"a code, such as E213 or W205, or an exit code: {', '.join(map(str, EXIT_CODES))}"
_ALL = "myoedge explain  lists all codes with their meanings"


def explanation(code: str) -> str:
    """Return the explanation of an error or warning code: meaning, reason, remedy, and exit code.

    code   "E213", in capitals or not; or an exit code, "4"
    Errors: E208 if there is no such code.
    """
    name = code.strip().upper()
    if name.isdecimal() and (exit_code := int(name)) in EXIT_CODES:
        codes = [
            f"{e.code}  {e.title}"
            for e in entries().values()
            if e.code[0] == "E" and Notice(e.code, e.title).exit_code == exit_code
        ]
        body = "\n".join(filter(None, (_REMARKS.get(exit_code), *codes)))
        title = f"Exit code {exit_code}: {EXIT_CODES[exit_code]}."
        return f"{title}\n\n{body}" if body else title
    entry = entries().get(name)
    if entry is None:
        tries = [f"myoedge explain {c}  {entries()[c].title}" for c in _similar(name)[:3]]
        title = f"there is no code {code!r}"
        raise MyoedgeError("E208", title, {"needs": _NEEDS}, [*tries, _ALL])
    return f"{entry.code}  {entry.title}\n\n{entry.text}\n\n{_exit_line(entry)}"


def _similar(name: str) -> list[str]:
    """Return codes that are spelled like `name`, a common prefix before common digits; if there are
    none, those whose title contains it as a word."""
    spelled = difflib.get_close_matches(name, entries(), len(entries()), 0.5)
    spelled.sort(key=lambda candidate: not candidate.startswith(name[:3]))
    words = {code: re.findall(r"\w+", entry.title.upper()) for code, entry in entries().items()}
    return spelled or sorted(code for code, found in words.items() if name in found)


def _exit_line(entry: Entry) -> str:
    if _NEVER_ERROR.fullmatch(entry.code):
        return "A warning, never an error."
    exit_code = Notice(entry.code, entry.title).exit_code
    start = "A warning. With --strict an error, exit code" if entry.code[0] == "W" else "Exit code"
    return f"{start} {exit_code}: {EXIT_CODES[exit_code]}."
