# SPDX-License-Identifier: Apache-2.0
"""User functions named as pkg.mod:fn: import, calls, and errors with the user's source line."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError

NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
OWN = Path(__file__).parents[1].parts


@dataclass(frozen=True)
class UserFunction:
    """A function of the user's code that an option names.

    name     "pkg.mod:fn"
    option   option for messages: "--factory"
    code     code of its errors
    tries    remedies of all its errors
    places   files of its package, if that is installed
    """

    name: str
    option: str
    code: str
    tries: tuple[str, ...]
    places: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise `code` if the name is not valid or the package is missing; nothing is imported."""
        module, colon, attribute = self.name.partition(":")
        if not (module and colon and attribute):
            raise self.error("is not of the form pkg.mod:fn", "")
        package = module.partition(".")[0]
        with _import_working_folder():
            found = package in sys.modules or importlib.util.find_spec(package)
        if not found:
            cause = f"ModuleNotFoundError: No module named {package!r}"
            raise self.error("could not be imported", cause)

    def imported(self) -> Callable[..., Any]:
        """Import the function and return it; the working folder is searched too. Errors:
        `self.code`."""
        self.check()
        module, _, attribute = self.name.partition(":")
        with _import_working_folder(), self.guarded("could not be imported"):
            value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            if not hasattr(value, part):
                raise self.error("does not exist", f"{module} has no {attribute}")
            value = getattr(value, part)
        if not callable(value):
            raise self.error("is not a function", f"it is of type {type(value).__name__}")
        function: Callable[..., Any] = value
        return function

    @contextlib.contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Context manager that converts exceptions of the user's code to an error with the last
        source line of that code.

        what   description of the work for the message
        """
        with converted(lambda error: self.error(what, cause_of(error, self.places))):
            yield

    def error(self, what: str, cause: str) -> MyoedgeError:
        """Return the error for a failure of this function.

        what    description of the work that failed
        cause   the reason
        """
        facts = {"cause": cause} if cause else {}
        return MyoedgeError(self.code, f"{self.option} {self.name} {what}", facts, self.tries)


def sources(name: str | None) -> tuple[str, ...]:
    """Return digests of the Python files of the package that contains the function pkg.mod:fn,
    without importing it; () for an installed package."""
    package = (name or "").partition(":")[0].partition(".")[0]
    with _import_working_folder(), contextlib.suppress(ImportError, ValueError):
        if package and (spec := importlib.util.find_spec(package)) is not None:
            places = [*(spec.submodule_search_locations or ())] or [spec.origin or ""]
            return (_digest_of([*map(Path, places)]),)
    return ()


def _digest_of(places: list[Path]) -> str:
    sha = hashlib.sha256()
    for place in places:
        if "site-packages" not in place.parts:
            for file in sorted([place] if place.is_file() else place.rglob("*.py")):
                sha.update(f"{file.name} ".encode() + file.read_bytes())
    return sha.hexdigest()


@contextlib.contextmanager
def _import_working_folder() -> Iterator[None]:
    """Context manager that imports modules first from the working folder, if it exists."""
    folder = ""
    with contextlib.suppress(OSError):
        folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


@contextlib.contextmanager
def converted(to: Callable[[BaseException], MyoedgeError]) -> Iterator[None]:
    """Context manager that converts all exceptions of user code, including SystemExit; Ctrl-C is
    passed on.

    to   exception -> error
    """
    try:
        yield
    except (MyoedgeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise to(error) from error


def cause_of(error: BaseException, places: Sequence[Path] = ()) -> str:
    """Describe an exception: "ValueError: no such size (net.py:12)", with the last line of the
    user's code.

    places   installed files and folders that also count as the user's code
    """
    users = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if is_in(frame.filename, places)
        or (
            not frame.filename.startswith(("<", sys.base_prefix))
            and "site-packages" not in Path(frame.filename).parts
            and Path(frame.filename).parts[: len(OWN)] != OWN
        )
    ]
    where = f" ({Path(users[-1].filename).name}:{users[-1].lineno})" if users else ""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}{where}"


def is_in(file: str, places: Sequence[Path]) -> bool:
    """Return whether a file is one of these places, or below one."""
    return any(Path(file).is_relative_to(place) for place in places)
