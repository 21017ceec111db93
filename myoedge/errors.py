# SPDX-License-Identifier: Apache-2.0
"""Errors and warnings with code, facts and remedies; the code's first digit is the exit code of the
command line."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Facts = Mapping[str, object]

EXIT_CODES = {
    0: "ok",
    1: "the model file is not usable",
    2: "usage: arguments, myoedge.toml, calibration, output folder, disk",
    3: "does not fit, or over budget",
    4: "outputs differ",
    5: "a tool is missing",
    6: "board, probe or meter",
    7: "the simulated program faulted, hung or ran out of cycles",
    70: "a bug in myoedge",
    130: "interrupted",
}
# Warnings after which results are useless: few samples, another unit or order of axes, labels in
# another order, untrained weights.
UNUSABLE = ("W205", "W207", "W208", "W209")
_STRING = r'"(?:[^"\\]|\\.)*"'
# A key in a remedy, and one after its table: [quant] "head" = { weights = 4 }
_KEY = rf"(?:[\w-]+|{_STRING}) = "
# What is in quotes is no setting: the first alternative takes it
_SETTING = re.compile(rf"{_STRING}|(?:(?:^|,) |^|, and |: )(\[[\w.]+\]) (?={_KEY})")


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a model or a file: an error when raised, a warning when collected.

    code    "E1xx" .. "E7xx", "W1xx" .. "W7xx": the first digit is the exit code; "E9xx": a bug,
            exit code 70
    facts   requirement and actual value, such as {"needs": ..., "has": ...}
    tries   remedies, best first
    """

    code: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    tries: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        digit = int(self.code[1])
        return 70 if digit == 9 else digit

    def __str__(self) -> str:
        return self.text("error" if self.code[0] == "E" else "warning")

    def text(self, kind: str) -> str:
        """Return the message as text; `kind` is "error" for a warning that --strict raised."""
        rows = [*self.facts, *(("try", as_toml(remedy)) for remedy in self.tries)]
        rows.append(("more", f"myoedge explain {self.code}"))
        width = max(len(key) for key, _ in rows)
        pad = " " * (width + 4)
        aligned = [
            f"  {key:<{width}}  {text.replace(chr(10), chr(10) + pad)}" for key, text in rows
        ]
        return "\n".join([f"{kind}[{self.code}] {self.title}", *aligned])


class MyoedgeError(Exception):
    """An error that a user can cause; has a Notice, which is printed without a traceback."""

    def __init__(
        self, code: str, title: str, facts: Facts | None = None, tries: Iterable[str] = ()
    ) -> None:
        self.notice = notice(code, title, facts, tries)
        super().__init__(self.notice.text("error"))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the error with its notice, so that nothing is lost between processes."""
        return raised, (self.notice,)

    @property
    def code(self) -> str:
        return self.notice.code

    @property
    def exit_code(self) -> int:
        return self.notice.exit_code


class DoesNotFit(MyoedgeError):
    """An error of a network that exceeds memories: a build names remedies that it has tried."""


def notice(code: str, title: str, facts: Facts | None = None, tries: Iterable[str] = ()) -> Notice:
    """Return a Notice with facts given as keywords; their values are converted to text."""
    pairs = tuple((key, str(value)) for key, value in (facts or {}).items())
    return Notice(code, title, pairs, tuple(tries))


def raised(warning: Notice) -> MyoedgeError:
    """Return the error that a warning becomes under `--strict`."""
    return MyoedgeError(warning.code, warning.title, dict(warning.facts), warning.tries)


@contextmanager
def set_in(
    place: str,
    words: Mapping[str, str] | None = None,
    code: str | None = None,
    fact: str = "set in",
) -> Iterator[None]:
    """Context manager that adds `place`, the file or option that set the wrong value, to errors
    raised in it, as a fact of this name; "" adds nothing.

    words   text -> replacement, in remedies and for options in titles; empty remedies are dropped
    code    code of the errors to change; None: all errors
    """
    try:
        yield
    except MyoedgeError as error:
        if code not in (None, error.code):
            raise
        old, title, tries = error.notice, error.notice.title, list(error.notice.tries)
        for word, other in (words or {}).items():
            tries = [text.replace(word, other) for text in tries]
            title = title.replace(word, other) if word.startswith("--") else title
        facts = {**dict(old.facts), **({fact: place} if place else {})}
        raise MyoedgeError(old.code, title, facts, filter(None, tries)) from None


def command(*words: object) -> str:
    """Return a shell command to copy: quoted, and without terminal control characters."""
    return printable(shlex.join(["myoedge", *map(str, words)]))


def as_toml(remedy: str) -> str:
    """Return a remedy with its settings as lines of TOML, to copy to a file: the table, its keys
    below it, and what else the remedy says as a comment; unchanged without settings, or if a value
    is left open."""
    settings = [at for at in _SETTING.finditer(remedy) if at[1]]
    if not settings:
        return remedy
    begins = remedy[: settings[0].start(1)].rstrip()
    lines = [begins] if begins else []
    ends = [*(at.start() for at in settings[1:]), len(remedy)]
    for at, end in zip(settings, ends, strict=True):
        keys = _keys_as_toml(remedy[at.end() : end])
        if not keys:
            return remedy
        lines += [at[1], *keys]
    return "\n".join(lines)


def _keys_as_toml(text: str) -> list[str]:
    """Return lines of the keys at the start of a text, the last with the rest of the text as its
    comment; [] if a value is no TOML."""
    for end in reversed([at.start() for at in re.finditer(r"(?=[\s,:;]|$)", text)]):
        try:
            tomllib.loads(text[:end])
        except tomllib.TOMLDecodeError:
            continue
        if (rest := text[end:].removeprefix(", ")) and re.match(_KEY, rest):
            return [text[:end], *following] if (following := _keys_as_toml(rest)) else []
        remark = rest.strip(" ,:;")
        return [f"{text[:end].rstrip()}  # {remark}" if remark else text[:end].rstrip()]
    return []


def named_input(name: str) -> str:
    """Return the name of an input for messages: "input x", "the input" if its name is "input"."""
    return "the input" if name == "input" else f"input {name}"


def and_more(names: Sequence[str], most: int) -> str:
    """Return the first names for messages: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def printable(text: str) -> str:
    """Return text on one line without terminal control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)


def escaped(text: str) -> str:
    """Return text on one line, with escapes for characters that cannot be printed: "a\\x1b[31m"."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
