# SPDX-License-Identifier: Apache-2.0
"""Extensions: hooks by which a package adds commands, applications, tables, backends, formats.

    EXTENSION = Extension(commands=(CommandHook("lamp", "tell the lamp's pin", "lamp.cli:lamp"),))

    [project.entry-points."myoedge.extensions"]
    lamp = "lamp:EXTENSION"

The core finds hooks by their names, and imports no extension.

What stands at a place is stated beside it: "(report: Report) -> str" for a function, the name of a
class for an object of it, or TABLE. `TYPES` says where the types are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Annotated, Any, get_args, get_origin, get_type_hints

TABLE = "a dataclass whose fields have defaults"
TYPES = {  # of signatures -> module; others are Python's own
    "Application": "myoedge.codegen.application",
    "ApplicationRequest": "myoedge.building.applications",
    "Array": "myoedge.numerics.arrays",
    "Build": "myoedge.backends.build",
    "BuildOptions": "myoedge.building.options",
    "Command": "click",
    "Config": "myoedge.building.config_tables",
    "Content": "myoedge.quantization.recordings.reading",
    "FirmwarePart": "myoedge.codegen.application",
    "Found": "myoedge.building.config",
    "Iterable": "collections.abc",
    "Mapping": "collections.abc",
    "PartRequest": "myoedge.building.applications",
    "Path": "pathlib",
    "Plan": "myoedge.plan.plan",
    "Reading": "myoedge.quantization.recordings.reading",
    "Report": "myoedge.reports.report_json",
    "ReportTable": "myoedge.reports.tables",
    "Runner": "myoedge.backends.runner",
    "Sources": "myoedge.codegen.project",
    "Stream": "myoedge.streaming.stream",
    "Terminal": "myoedge.cli.shell",
    "ToolRow": "myoedge.backends.doctor",
}


@dataclass(frozen=True, kw_only=True)
class Hook:
    """An addition to myoedge.

    package   installed package whose extension has it, set when that is loaded; "": this one
    """

    package: str = ""


@dataclass(frozen=True)
class CommandHook(Hook):
    """A command of the command line.

    name     word after `myoedge`
    text     what it does, in the list of commands: "package builds for a product"
    place    "module:name" of the command, imported on use
    after    command that it follows in the list; "": the end
    """

    name: str
    text: str
    place: Annotated[str, "Command"]
    after: str = ""


@dataclass(frozen=True)
class TableHook(Hook):
    """A table of myoedge.toml.

    name    of the table: "mlperf" for [mlperf]
    kind    place of its dataclass, whose fields are the keys
    rules   place of a function of the table that yields (rule, whether it is satisfied), such as
            ("mlperf.scale must be more than 0", True); "": none
    """

    name: str
    kind: Annotated[str, TABLE]
    rules: Annotated[str, "(table: object) -> Iterable[tuple[str, bool]]"] = ""


@dataclass(frozen=True)
class ApplicationHook(Hook):
    """An application that `build --app NAME` generates around the network.

    name      NAME
    text      what it is for, in the help of --app: ", for MLPerf Tiny"
    request   place of the function that returns its settings; "": it needs none
    play      place of the function for `simulate --play`, with its further options; "": the
              application cannot play recordings
    project   name of the ProjectHook whose project runs the application too; "": none
    levels    whether the program opens optional memory levels of the chip: --memory
    waits     whether the chip waits between inferences, so that a build without --operating-point
              takes the point of least average power: "auto"
    gate      place of a function that returns options: `gate`, the file of a network that runs
              before the other one on the same input, and `first`, an output that is computed
              before all others; "": none
    ported    what runs its C on chips that have no applications, as a remedy; "": nothing
    """

    name: str
    text: str = ""
    request: Annotated[str, "(options: BuildOptions, settings: Config) -> ApplicationRequest"] = ""
    play: Annotated[
        str, "(terminal: Terminal, folder: Path, *, play: str, **options: object) -> object"
    ] = ""
    project: str = ""
    levels: bool = False
    waits: bool = False
    gate: Annotated[str, "(found: Found) -> dict[str, object]"] = ""
    ported: str = ""


@dataclass(frozen=True)
class ProjectHook(Hook):
    """A project of a development kit around src/, for builds whose application names it.

    name       folder of the build with the project's files; users may edit the files, and a later
               build keeps those that are below name/user
    files      place of a function that returns the files by their path in the folder
    l1_bytes   bytes of L1 that the kit uses, which the plan leaves free
    at_point   sentence that says how to compile the project for an operating point, with {} for the
               name of the point; "": it cannot be compiled for another one
    """

    name: str
    files: Annotated[
        str,
        "(plan: Plan, model: str, sources: Sources, stream: Stream | None, "
        "application: Application | None) -> dict[str, str]",
    ]
    l1_bytes: int = 0
    at_point: str = ""


@dataclass(frozen=True)
class PartHook(Hook):
    """Code beside the network, in every program of a build that requests the part.

    name      of the part
    request   place of the function that returns its settings; None: the build has no such part
    restore   place of the function that returns the part from its arrays in a build
    levels    whether the part's program opens optional memory levels of the chip: --memory
    """

    name: str
    request: Annotated[str, "(options: BuildOptions, settings: Config) -> PartRequest | None"]
    restore: Annotated[str, "(arrays: Mapping[str, Array]) -> FirmwarePart"]
    levels: bool = False


@dataclass(frozen=True)
class SectionHook(Hook):
    """A section of reports, for an entry of report.json.

    name    key of the entry; a report without it has no section
    row     name of the row on the terminal
    line    place of the function that returns the row's text
    title   heading in report.html
    text    sentence below the heading
    table   place of the function that returns its table
    card    place of a function that returns (figure, its unit) of a card among the key figures of
            report.html, with the row's text below; "": no card
    """

    name: str
    row: str
    line: Annotated[str, "(report: Report) -> str"]
    title: str
    text: str
    table: Annotated[str, "(report: Report) -> ReportTable"]
    card: Annotated[str, "(report: Report) -> tuple[str, str]"] = ""


@dataclass(frozen=True)
class PanelHook(Hook):
    """A panel of report.html on how time passes, for an entry of report.json.

    name    key of the entry; a report without it has no panel
    place   of the function that returns the panel's HTML; "" for none
    """

    name: str
    place: Annotated[str, "(report: Report) -> str"]


@dataclass(frozen=True)
class ReaderHook(Hook):
    """A format of sample files.

    name         of the format
    endings      of its files: (".csv", ".tsv")
    place        of the function that reads a file
    beginnings   first bytes of its files, each at most 16
    by_ending    whether files without these first bytes are recognised by their ending, as those of
                 a format without first bytes always are
    """

    name: str
    endings: tuple[str, ...]
    place: Annotated[str, "(path: Path, reading: Reading) -> Content"]
    beginnings: tuple[bytes, ...] = ()
    by_ending: bool = False


@dataclass(frozen=True)
class BackendHook(Hook):
    """A backend, which runs builds for `validate`, `simulate` and `run`.

    If a chip names it among its runners, it runs builds for such chips only.

    name           its name after --on
    text           name in reports and messages, such as "C on the host"
    place          "module:name" of its functions, imported on use
    chip           name of its cycle counts, with {} for the chip; "": it counts no cycles
    source         source of the cycles in report.json
    shows_layers   whether `validate` compares every layer, not only the outputs
    is_listed      whether report.json lists the backend even if it has not been run; only for
                   backends of this package, so that reports do not depend on what is installed
    after          backend that it follows in lists; "": the end
    """

    name: str
    text: str
    place: Annotated[str, "Runner"]
    chip: str = ""
    source: str = ""
    shows_layers: bool = False
    is_listed: bool = False
    after: str = ""


@dataclass(frozen=True)
class StepHook(Hook):
    """Commands that `build` suggests at its end.

    name    of the step
    place   place of a function that yields lines for a shell; `options` are those of `build`
    after   step that it follows; "": the end
    """

    name: str
    place: Annotated[str, "(build: Build, options: Mapping[str, object]) -> Iterable[str]"]
    after: str = ""


@dataclass(frozen=True)
class ToolHook(Hook):
    """A row in the table of `doctor`, of a tool without which doctor succeeds.

    name    the tool's name
    place   "module:name" of the function that returns the row
    after   tool that it follows in the table; "": the end
    """

    name: str
    place: Annotated[str, "() -> ToolRow"]
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """Additions of a package to myoedge.

    commands       of the command line
    tables         of myoedge.toml
    applications   of `build --app`
    projects       of development kits, around src/
    parts          of the firmware, beside the network
    sections       of reports
    panels         of report.html
    readers        of sample files
    backends       that run a build
    steps          that `build` suggests
    tools          that `doctor` looks for
    """

    commands: tuple[CommandHook, ...] = ()
    tables: tuple[TableHook, ...] = ()
    applications: tuple[ApplicationHook, ...] = ()
    projects: tuple[ProjectHook, ...] = ()
    parts: tuple[PartHook, ...] = ()
    sections: tuple[SectionHook, ...] = ()
    panels: tuple[PanelHook, ...] = ()
    readers: tuple[ReaderHook, ...] = ()
    backends: tuple[BackendHook, ...] = ()
    steps: tuple[StepHook, ...] = ()
    tools: tuple[ToolHook, ...] = ()

    def __post_init__(self) -> None:
        """Raise TypeError for a field that is no tuple of its hooks, or a place that is no text."""
        for kind, hook in kinds().items():
            given = getattr(self, kind)
            if not (isinstance(given, tuple) and all(isinstance(row, hook) for row in given)):
                raise TypeError(f"{kind} needs a tuple of {hook.__name__}, has {given!r}")
            for row, field in product(given, places(hook)):
                if not isinstance(place := getattr(row, field), str):
                    needs = f'{hook.__name__} {row.name!r}: {field} needs "module:name"'
                    raise TypeError(f"{needs}, has {place!r}")


@cache
def kinds() -> dict[str, Any]:
    """Return the class of the hooks of each kind: of each field of Extension."""
    return {kind: get_args(hint)[0] for kind, hint in get_type_hints(Extension).items()}


@cache
def places(hook: Any) -> dict[str, str]:
    """Return what stands at the places of a class of hooks, by the names of their fields."""
    hints = get_type_hints(hook, include_extras=True)
    return {
        name: get_args(kind)[1] for name, kind in hints.items() if get_origin(kind) is Annotated
    }
