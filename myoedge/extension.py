# SPDX-License-Identifier: Apache-2.0
"""Extensions: hooks by which a package adds commands, applications, tables, backends, formats.

    EXTENSION = Extension(commands=(CommandHook("lamp", "tell the lamp's pin", "lamp.cli:lamp"),))

    [project.entry-points."myoedge.extensions"]
    lamp = "lamp:EXTENSION"

The core finds hooks by their names, and imports no extension.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CommandHook:
    """A command of the command line.

    name     word after `myoedge`
    text     what it does, in the list of commands: "package builds for a product"
    place    "module:name" of its click command, imported on use
    after    command that it follows in the list; "": the end
    """

    name: str
    text: str
    place: str
    after: str = ""


@dataclass(frozen=True)
class TableHook:
    """A table of myoedge.toml.

    name    of the table: "mlperf" for [mlperf]
    kind    place of its dataclass, whose fields are the keys and have defaults
    rules   place of a function of the table that yields (rule, whether it is satisfied), such as
            ("mlperf.scale must be more than 0", True); "": none
    """

    name: str
    kind: str
    rules: str = ""


@dataclass(frozen=True)
class ApplicationHook:
    """An application that `build --app NAME` generates around the network.

    name      NAME
    text      what it is for, in the help of --app: ", for MLPerf Tiny"
    request   place of a function of BuildOptions and Config that returns a
              myoedge.building.applications.ApplicationRequest; "": it needs none
    play      place of a function of (Terminal, folder of the build, play=FILE, further options) for
              `simulate --play`; "": the application cannot play recordings
    project   name of the ProjectHook whose project runs the application too; "": none
    levels    whether the program opens optional memory levels of the chip: --memory
    waits     whether the chip waits between inferences, so that a build without --operating-point
              takes the point of least average power: "auto"
    gate      place of a function of a Found (myoedge.building.config) that returns options: `gate`,
              the file of a network that runs before the other one on the same input, and
              `first`, an output that is computed before all others; "": none
    ported    what runs its C on chips that have no applications, as a remedy; "": nothing
    """

    name: str
    text: str = ""
    request: str = ""
    play: str = ""
    project: str = ""
    levels: bool = False
    waits: bool = False
    gate: str = ""
    ported: str = ""


@dataclass(frozen=True)
class ProjectHook:
    """A project of a development kit around src/, for builds whose application names it.

    name       folder of the build with the project's files; users may edit the files, and a later
               build keeps those that are below name/user
    files      place of a function of (Plan, name of the model, Sources, Stream or None, Application
               or None) that returns the files by their path in the folder
    l1_bytes   bytes of L1 that the kit uses, which the plan leaves free
    at_point   sentence that says how to compile the project for an operating point, with {} for the
               name of the point; "": it cannot be compiled for another one
    """

    name: str
    files: str
    l1_bytes: int = 0
    at_point: str = ""


@dataclass(frozen=True)
class PartHook:
    """Code beside the network, in every program of a build that requests the part.

    name      of the part
    request   place of a function of BuildOptions and Config that returns a
              myoedge.building.applications.PartRequest, or None: the build has no such part
    restore   place of a function of the arrays of the part that returns it: a
              myoedge.codegen.application.FirmwarePart
    levels    whether the part's program opens optional memory levels of the chip: --memory
    """

    name: str
    request: str
    restore: str
    levels: bool = False


@dataclass(frozen=True)
class SectionHook:
    """A section of reports, for an entry of report.json.

    name    key of the entry; a report without it has no section
    row     name of the row on the terminal
    line    place of a function of the report that returns the row's text
    title   heading in report.html
    text    sentence below the heading
    table   place of a function of the report that returns a myoedge.reports.tables.ReportTable
    card    place of a function of the report that returns (figure, its unit) of a card among the
            key figures of report.html, with the row's text below; "": no card
    """

    name: str
    row: str
    line: str
    title: str
    text: str
    table: str
    card: str = ""


@dataclass(frozen=True)
class PanelHook:
    """A panel of report.html on how time passes, for an entry of report.json.

    name    key of the entry; a report without it has no panel
    place   of a function of the report that returns the panel's HTML; "": it has none
    """

    name: str
    place: str


@dataclass(frozen=True)
class ReaderHook:
    """A format of sample files.

    name         of the format
    endings      of its files: (".csv", ".tsv")
    place        of a function of a path and a Reading (myoedge.quantization.recordings.reading)
                 that returns the Content of the file
    beginnings   first bytes of its files, each at most 16
    by_ending    whether files without these first bytes are recognised by their ending, as those of
                 a format without first bytes always are
    """

    name: str
    endings: tuple[str, ...]
    place: str
    beginnings: tuple[bytes, ...] = ()
    by_ending: bool = False


@dataclass(frozen=True)
class BackendHook:
    """A backend: what runs a build for `validate`, `simulate` and `run`; if a chip names it among
    its runners, only builds for such chips.

    name           its name after --on
    text           name in reports and messages, such as "C on the host"
    place          "module:name" of its myoedge.backends.runner.Runner, imported on use
    chip           name of its cycle counts, with {} for the chip; "": it counts no cycles
    source         source of the cycles in report.json
    shows_layers   whether `validate` compares every layer, not only the outputs
    is_listed      whether report.json lists the backend even if it has not been run; only for
                   backends of this package, so that reports do not depend on what is installed
    after          backend that it follows in lists; "": the end
    """

    name: str
    text: str
    place: str
    chip: str = ""
    source: str = ""
    shows_layers: bool = False
    is_listed: bool = False
    after: str = ""


@dataclass(frozen=True)
class StepHook:
    """Commands that `build` suggests at its end.

    name    of the step
    place   place of a function of (Build, options of `build` by name) that yields lines for a shell
    after   step that it follows; "": the end
    """

    name: str
    place: str
    after: str = ""


@dataclass(frozen=True)
class ToolHook:
    """A row in the table of `doctor`, of a tool without which doctor succeeds.

    name    the tool's name
    place   "module:name" of a function without arguments that returns its
            myoedge.backends.doctor.ToolRow
    after   tool that it follows in the table; "": the end
    """

    name: str
    place: str
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
