# SPDX-License-Identifier: Apache-2.0
"""Options, output and exit codes of all verbs."""

from __future__ import annotations

import codecs
import errno
import functools
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from myoedge.errors import MyoedgeError, Notice
from myoedge.system.control_characters import without_controls

if TYPE_CHECKING:
    from rich.console import Console

DIFFERENT, INTERRUPTED = 4, 130  # exit codes
ERROR = "myoedge.error/1"  # schema
ASCII_SUBSTITUTES = str.maketrans({"µ": "u", "–": "-", "…": "~"})  # for ASCII terminals

Verb = Callable[..., Any]


class Terminal:
    """Output of a verb: messages to stderr, the result to stdout.

    as_json   whether stdout gets one JSON object and nothing else
    level     -1 quiet, 0 normal, 1 verbose
    """

    def __init__(self, as_json: bool, level: int, color: bool) -> None:
        self.as_json, self.level, self.color = as_json, level, color
        self.answered = False  # whether the JSON object was printed

    @functools.cached_property
    def out(self) -> Console:
        """Console for results: stdout, or stderr if stdout is reserved for JSON."""
        return console_of(color=self.color, to_stderr=self.as_json)

    def progress(self, text: str) -> None:
        """Print a message, unless -q is given."""
        if self.level >= 0:
            echo(text, err=True)

    def next(self, *commands: str) -> None:
        """Print suggested next commands, unless -q is given."""
        for title, text in zip(chain(["next:"], repeat("")), commands, strict=False):
            self.progress(f"{title:<5} {text}")

    def stage(self, name: str) -> None:
        """Print the name of a pipeline stage as it starts."""
        self.progress(f"  {name} ...")

    def times(self, seconds: Mapping[str, float]) -> None:
        """Print the duration of each stage, with -v."""
        if self.level > 0:
            texts = (f"{stage} {value * 1e3:.0f} ms" for stage, value in seconds.items())
            echo(f"  took {', '.join(texts)}", err=True)

    def json_printed(self, schema: str, value: Mapping[str, Any]) -> bool:
        """Print the verb's result as JSON if --json is given; return False if text is to be
        printed.

        schema   name and version of a file of myoedge/catalogue/schemas: "report/1"
        """
        if self.as_json:
            document = {"schema": f"myoedge.{schema}", **value}
            echo(json.dumps(document, allow_nan=False, sort_keys=False))
            self.answered = True
        return self.as_json

    def text(self, *lines: str, soft_wrap: bool = False) -> None:
        """Print lines of the result unchanged; with `soft_wrap` also the longest, which takes a
        tenth of the time of a console that looks for places to break them."""
        if soft_wrap:
            echo("\n".join(lines), err=self.as_json)
        else:
            self.out.print("\n".join(lines))


def console_of(*, color: bool, to_stderr: bool) -> Console:
    """Return a console that shows no control characters of its texts, and takes text in brackets,
    as [budget], for no markup."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # handled by run_command_line; rich would exit with code 1

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else without_controls(text), style, control)

    return Output(stderr=to_stderr, no_color=not color, highlight=False, markup=False, emoji=False)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text without control characters: the only place that prints, beside consoles.

    err   to stderr
    nl    end the line
    """
    click.echo(without_controls(text), err=err, nl=nl)


def common(verb: Verb) -> Verb:
    """Add the options -q, -v, --json and --no-color; the verb gets a Terminal as first argument."""

    @click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
    @click.option("-v", "--verbose", is_flag=True, help="Also print the time of each stage.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR=1).")
    @functools.wraps(verb)
    def wrapped(
        *args: Any, quiet: bool, verbose: bool, as_json: bool, no_color: bool, **rest: Any
    ) -> Any:
        for name, value in rest.items():  # an unset shell variable becomes an empty argument
            if value == "" or (isinstance(value, tuple) and "" in value):
                raise click.UsageError(f"{name.upper().replace('_', '-')} is given, but empty.")
        color = not no_color and "NO_COLOR" not in os.environ
        terminal = Terminal(as_json, verbose - quiet, color)
        try:
            return verb(terminal, *args, **rest)
        except MyoedgeError as error:
            if not terminal.answered:
                raise
            _exit_with_notice(error.notice, as_json=False)

    return wrapped


def with_options(*options: Callable[[Verb], Verb]) -> Callable[[Verb], Verb]:
    """Return a decorator that adds options to a verb, in the order of its help."""

    def add_all(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return add_all


board_options = with_options(
    click.option("--board", metavar="ID|TOML", help="Board (default: gap9_evk)."),
    click.option("--port", metavar="DEVICE", help="Serial port of the console."),
)


def chosen_build(terminal: Terminal, folder: str | None) -> Path:
    """Return the build folder given on the command line; without one, the newest build, whose name
    is printed."""
    if folder is not None:
        return Path(folder)
    folder_of_newest = newest()
    terminal.progress(f"  newest build: {folder_of_newest}")
    return folder_of_newest


def newest() -> Path:
    """Return the folder of the most recent build below ./build. Errors: E222 no build there."""
    from myoedge.system.folder import MANIFEST, is_build

    builds = [path.parent for path in Path("build").glob(f"*/{MANIFEST}") if is_build(path.parent)]
    if not builds:
        facts = {"needs": "the folder of a build", "has": "no argument, and nothing below build/"}
        again = "myoedge build MODEL --calib CALIB"
        raise MyoedgeError("E222", "no build is given", facts, [again])
    return max(builds, key=lambda folder: ((folder / MANIFEST).stat().st_mtime_ns, folder.name))


def warn(*warnings: Notice | None) -> None:
    """Print warnings, also with -q."""
    for warning in filter(None, warnings):
        echo(str(warning), err=True)


def run_command_line(group: click.Group, arguments: list[str] | None) -> NoReturn:
    """Run the command line and exit with the code of its outcome; no outcome prints a traceback."""
    given_arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given_arguments
    _prepare_streams()
    try:
        _interrupt_on_end()
        # group.main would exit with code 1 if the reader closes the pipe, as `head` does.
        with group.make_context("myoedge", list(given_arguments)) as context:
            group.invoke(context)
        sys.stdout.flush()
        sys.exit(0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except MyoedgeError as error:
        _exit_with_notice(error.notice, as_json)
    except click.ClickException as error:
        _exit_with_usage(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        _exit_interrupted()
    except BrokenPipeError:
        _redirect_to_null(sys.stdout)
        sys.exit(0)
    except BaseException as error:
        _exit_with_other(error, given_arguments, as_json)


def _exit_interrupted() -> NoReturn:
    # If an interrupt leaves executed source (imports that create classes execute some), Python ends
    # by that signal later; executing another string clears this.
    exec("")
    echo("interrupted", err=True)
    sys.exit(INTERRUPTED)


def _interrupt_on_end() -> None:
    """Make SIGTERM and a closed terminal raise KeyboardInterrupt, so that a verb cleans up as on
    Ctrl-C; signals that are ignored, as under nohup, stay ignored. Python sets signals only in the
    main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _prepare_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that is closed, as by `>&-`: Python has
    no such stream then, and the next file opened would get its number. Replace µ and similar
    characters on terminals that cannot print them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
    codecs.register_error("myoedge.plainer", _substitute_error)
    for text in (sys.stdout, sys.stderr):
        if isinstance(text, io.TextIOWrapper):
            text.reconfigure(errors="myoedge.plainer")


def _substitute_error(error: UnicodeError) -> tuple[str, int]:
    """Encoding error handler: µ becomes u, characters without a substitute "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(ASCII_SUBSTITUTES)
    return lacking.encode("ascii", "replace").decode("ascii"), error.end


def _redirect_to_null(stream: TextIO) -> None:
    """Redirect a closed stream to /dev/null, so that the final flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _exit_with_usage(error: click.ClickException, as_json: bool) -> NoReturn:
    if as_json:
        usage = {"code": "E200", "title": error.format_message(), "exit_code": 2}
        echo(json.dumps({"schema": ERROR, "error": usage}))
    shown = io.StringIO()
    error.show(shown)
    echo(shown.getvalue(), err=True, nl=False)
    sys.exit(2)


def _exit_with_other(error: BaseException, arguments: list[str], as_json: bool) -> NoReturn:
    """Exit after the command's own exit, an interrupt inside Python, or an unexpected error."""
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error.__cause__, KeyboardInterrupt):  # inside __set_name__ in Python 3.11
        _exit_interrupted()
    if getattr(error, "errno", None) == errno.ENOSPC:
        _redirect_to_null(sys.stdout)
        _exit_with_notice(Notice("E281", "no space left to write the output"), as_json=False)
    _exit_with_notice(_write_crash_report(error, arguments), as_json)


def _exit_with_notice(notice: Notice, as_json: bool) -> NoReturn:
    if as_json:
        echo(json.dumps({"schema": ERROR, "error": as_dict(notice)}))
    echo(notice.text("error"), err=True)
    sys.exit(notice.exit_code)


def as_dict(notice: Notice) -> dict[str, Any]:
    """Return a warning as JSON values, for --json."""
    return {
        "code": notice.code,
        "title": notice.title,
        "facts": dict(notice.facts),
        "tries": list(notice.tries),
        "exit_code": notice.exit_code,
    }


def _write_crash_report(error: BaseException, arguments: list[str]) -> Notice:
    """Write a crash report into a new folder; return the notice with its path."""
    import tempfile
    import traceback

    from myoedge.version import __version__

    facts = [("cause", f"{type(error).__name__}: {error}".splitlines()[0])]
    lines = [f"myoedge {__version__}", f"arguments: {arguments}", traceback.format_exc()]
    try:
        folder = Path(tempfile.mkdtemp(prefix="myoedge-crash-"))
        (folder / "crash.txt").write_text("\n".join(lines), "utf-8", "backslashreplace")
        facts.append(("saved", str(folder / "crash.txt")))
    except OSError:
        facts.append(("trace", lines[-1]))
    return Notice(
        "E900", "a bug in myoedge, not in your model", tuple(facts), ("report it with that file",)
    )
