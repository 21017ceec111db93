# SPDX-License-Identifier: Apache-2.0
"""JUnit XML files of verbs, written even if the verb ends with an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from myoedge.errors import MyoedgeError

JUNIT = click.option(
    "--junit", type=click.Path(), metavar="FILE", help="Also write JUnit XML, for CI."
)


@contextmanager
def junit_file(file: str | None, suite: str) -> Iterator[Callable[[Callable[[], bytes]], None]]:
    """Context manager that yields a function to write JUnit XML to `file`, if given; an error
    raised in the context is written, too.

    suite   name of the test suite
    Errors: E220, E281 the file cannot be written, raised at once.
    """
    from myoedge.reports.junit import error_xml
    from myoedge.system.folder import check_file, write_file

    if file is None:
        yield lambda make: None
        return
    check_file(Path(file))
    is_written = False

    def write(make: Callable[[], bytes]) -> None:
        nonlocal is_written
        write_file(Path(file), make())
        is_written = True

    try:
        yield write
    except MyoedgeError as error:
        if not is_written:
            write_file(Path(file), error_xml(suite, error.notice))
        raise
