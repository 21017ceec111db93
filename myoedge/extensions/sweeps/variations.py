# SPDX-License-Identifier: Apache-2.0
"""Variations of a build that `advise` measures, each different in one setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from myoedge.building.budget import EXTERNAL, PARTS
from myoedge.building.config_tables import FAST, Config, LayerTable
from myoedge.building.stream_rate import MOST_FRAMES, in_windows
from myoedge.extensions.sweeps.tasks import toml_lines
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.engine_choice import AUTO, CORES
from myoedge.quantization.search.moves.weight_steps import PLANE_BITS, STORED_BITS
from myoedge.reports import wording
from myoedge.reports.budget import goals
from myoedge.reports.report_json import GOOD_DB, Report
from myoedge.system.toml_text import exact_pattern
from myoedge.targets import ACCELERATOR, find_chip

FRAME_FACTORS = (2, 4, 8, 16)
WEAKEST = 2  # layers that get int16, one at a time
FEW_BITS = 4
FEWEST_WEIGHTS_BYTES = 4096  # for smaller weights, fewer bits save too little
TUNED_CYCLES = 500_000  # per inference: tuning simulates up to twenty of them

Arguments = Mapping[str, Any]  # arguments of api.build
Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Variation:
    """A build that differs from the existing one in one setting.

    kind      kind of setting; only few suggestions of each kind are made
    title     description: "16 bits at conv2"
    tables    changes of myoedge.toml: table -> key -> value; of [quant] pattern -> rule
    options   changes of the arguments of build
    command   with options: the command that builds it
    """

    kind: str
    title: str
    tables: Tables = field(default_factory=dict)
    options: Arguments = field(default_factory=dict)
    command: str = ""

    @property
    def settings_count(self) -> int:
        """The number of changed tables and arguments."""
        return len(self.tables) + len(self.options)

    @property
    def how(self) -> str:
        """The lines for myoedge.toml, and the command."""
        return "\n".join([*toml_lines(self.tables), *filter(None, [self.command])])

    def settings(self, settings: Config) -> Config:
        """Return the settings with this variation's change."""
        changed = dict[str, Any]()
        for name, keys in self.tables.items():
            table = getattr(settings, name)
            if isinstance(table, Mapping):
                rules = {pattern: LayerTable(**rule) for pattern, rule in keys.items()}
                changed[name] = {**table, **rules}
            else:
                changed[name] = replace(table, **keys)
        return replace(settings, **changed)


BASE = Variation("base", "as it is")


def variations(report: Report, settings: Config, arguments: Arguments) -> tuple[Variation, ...]:
    """Return the variations that may improve a build.

    report      report of the existing build
    settings    its myoedge.toml
    arguments   its arguments of api.build
    """
    return (
        *_longer_passes(report, settings),
        *_precision(report, settings, arguments),
        *_ranges(report, settings, arguments),
        *_weights(report, settings, arguments),
        *_resident_bits(report, settings, arguments),
        *_searched_bits(report, settings, arguments),
        *_memories(report, arguments),
        *_estimated_choices(report, settings, arguments),
    )


def _longer_passes(report: Report, settings: Config) -> Iterator[Variation]:
    """Yield longer passes of a stream with a known rate, if the pass length is free."""
    stream, table = report.get("stream"), settings.stream
    if not stream or not stream["frame_hz"] or table.states or in_windows(table):
        return
    for frames in (factor * stream["pass_frames"] for factor in FRAME_FACTORS):
        if frames <= MOST_FRAMES:
            yield Variation("frames", f"frames = {frames}", {"stream": {"frames": frames}})


def _precision(report: Report, settings: Config, arguments: Arguments) -> Iterator[Variation]:
    """Yield int16 for each of the noisiest layers, and --accurate, if SQNR is below GOOD_DB."""
    q = report["quantization"]
    if q["sqnr_db"] is None or q["sqnr_db"] >= GOOD_DB:
        return
    layers = () if _is_of_file(report) else report["layers"]
    rows = [row for row in layers if _takes_16_bits(row)]
    for row in sorted(rows, key=lambda row: float(row["sqnr_local_db"]))[:WEAKEST]:
        rule = {"activations": 16, **({"weights": 16} if row["weight_dtype"] else {})}
        title = f"16 bits at {wording.layer_names(report)[row['name']]}"
        yield Variation("16 bits", title, {"quant": {_pattern(row): rule}})
    if not (arguments.get("accurate") or settings.calib.accurate):
        yield Variation("16 bits", "16 bits until 30 dB", options={"accurate": True})


def _takes_16_bits(row: Mapping[str, Any]) -> bool:
    return bool(path_of(row)) and row["sqnr_local_db"] is not None and row["dtype"] == "int8"


def _is_of_file(report: Report) -> bool:
    """Return whether the model file fixes all scales, so that [quant] cannot change its
    integers."""
    return bool(report["quantization"]["calibration"]["observer"] == "file")


def path_of(row: Mapping[str, Any]) -> str:
    """Return the module path of a layer; "" if it has none."""
    return next((origin["path"] for origin in row["origin"] if origin["path"]), "")


def _pattern(row: Mapping[str, Any]) -> str:
    """Return a [quant] pattern that matches only this layer's module path."""
    return exact_pattern(path_of(row))


def _ranges(report: Report, settings: Config, arguments: Arguments) -> Iterator[Variation]:
    """Yield calibration ranges by the best observer, if the build used a fixed one."""
    named = arguments.get("method") or settings.calib.method
    if named != AUTO and not _is_of_file(report):
        options = {"method": AUTO, "percentile": None}
        yield Variation("ranges", "ranges by the best observer", options=options)


def _weights(report: Report, settings: Config, arguments: Arguments) -> Iterator[Variation]:
    """Yield fewer bits for the weights of all layers, and for the weights of the largest layer."""
    rows = [row for row in report["layers"] if row["weight_bits"] == 8 and row["macs"]]
    total_bytes = sum(row["weights_bytes"] for row in rows)
    if _has_chosen_bits(report, settings, arguments) or total_bytes < FEWEST_WEIGHTS_BYTES:
        return
    yield _with_few_bits("*", "all weights")
    largest = max(rows, key=lambda row: int(row["weights_bytes"]))
    if path_of(largest) and total_bytes > largest["weights_bytes"] >= FEWEST_WEIGHTS_BYTES:
        yield _with_few_bits(_pattern(largest), wording.layer_names(report)[largest["name"]])


def _has_chosen_bits(report: Report, settings: Config, arguments: Arguments) -> bool:
    """Return whether options, settings or the model file determine the bits of weights."""
    is_chosen = (
        arguments.get("weights"),
        settings.calib.weights,
        any(isinstance(rule.weights, int) for rule in settings.quant.values()),
        _is_of_file(report),
    )
    return any(is_chosen)


def _with_few_bits(pattern: str, name: str) -> Variation:
    of = "weights" if pattern == "*" else f"weights of {name}"
    title = f"{of} of {FEW_BITS} bits" if pattern == "*" else f"{FEW_BITS} bits for {of}"
    return Variation("weights", title, _with_weights([pattern], FEW_BITS))


def _with_weights(patterns: Iterable[str], bits: int) -> Tables:
    return {"quant": {pattern: {"weights": bits} for pattern in patterns}}


def _resident_bits(report: Report, settings: Config, arguments: Arguments) -> Iterator[Variation]:
    """Yield fewer bits for the weights that are read from memories behind L2: FEW_BITS, and the
    most bits with which these weights fit L2 by their sizes."""
    levels = report["memory"]["levels"]
    rows = [row for row in report["layers"] if _streamed_bytes(row, levels)]
    if not rows or _has_chosen_bits(report, settings, arguments):
        return
    patterns = [*dict.fromkeys(map(_pattern, rows))]
    others = f" and {len(patterns) - 1} more" if len(patterns) > 1 else ""
    named = f"{wording.layer_names(report)[rows[0]['name']]}{others}"
    for bits in sorted({FEW_BITS, *_fitting_bits(rows, levels)}, reverse=True):
        if bits != FEW_BITS or not _gets_few_bits(patterns, report, settings, arguments):
            title = f"{bits} bits for weights outside L2 ({named})"
            yield Variation("residency", title, _with_weights(patterns, bits))


def _gets_few_bits(
    patterns: Sequence[str], report: Report, settings: Config, arguments: Arguments
) -> bool:
    """Return whether another variation gives FEW_BITS to the weights of just these layers."""
    every = dict.fromkeys(map(_pattern, filter(_has_choice_of_bits, report["layers"])))
    others = [[*one.tables["quant"]] for one in _weights(report, settings, arguments)]
    return [*patterns] in others or (["*"] in others and [*patterns] == [*every])


def _fitting_bits(rows: Sequence[Mapping[str, Any]], levels: Iterable[str]) -> Sequence[int]:
    """Return the most bits with which the weights of layers take no more bytes than the layers have
    in L2 now; [] if no number of bits is small enough."""
    total_bytes = sum(row["weights_bytes"] for row in rows)
    kept_bytes = total_bytes - sum(_streamed_bytes(row, levels) for row in rows)
    most = max(row["weight_bits"] for row in rows)
    on_engine = all(row["engine"] == ACCELERATOR.name for row in rows)
    widths = (INT8.bits, *(PLANE_BITS if on_engine else STORED_BITS))
    return [n for n in widths if n < most and n * total_bytes <= most * kept_bytes][:1]


def _streamed_bytes(row: Mapping[str, Any], levels: Iterable[str]) -> int:
    """Return the bytes of a layer's weights that are read from memories behind L2; 0 if the bits of
    its weights cannot be chosen.

    levels   names of these memories
    """
    if not _has_choice_of_bits(row):
        return 0
    return sum(row[f"weights_{name}_bytes"] for name in levels)


def _has_choice_of_bits(row: Mapping[str, Any]) -> bool:
    return bool(path_of(row) and row["macs"] and row["weight_bits"] in (INT8.bits, INT16.bits))


def _levels(report: Report, arguments: Arguments) -> dict[str, Arguments]:
    """Return the chip's optional memories that a build does not use yet, as text -> arguments of a
    build with weights in them; {} if no weights are read from external memory."""
    if arguments.get("memory") or not report["memory"]["l3_weights_bytes"]:
        return {}
    levels = find_chip(report["target"]["chip"]).optional_levels
    return {f"weights in {x.name.upper()}": {"memory": f"{x.name}={AUTO}"} for x in levels}


def _memories(report: Report, arguments: Arguments) -> Iterator[Variation]:
    """Yield the chip's optional memories, and with one of them fewer parts beside the chip."""
    held, chip = report["memory"], find_chip(report["target"]["chip"])
    choices = _levels(report, arguments)
    for title, options in choices.items():
        yield Variation("memory", f"{title} too", options=options)
    if any(x.name in held["levels"] for x in chip.optional_levels):
        choices = {"": {}}
    for title, options in choices.items():
        for external in PARTS[: len(held["external"])]:
            yield _with_parts("memory", title, external, options)


def _with_parts(kind: str, title: str, external: str, options: Arguments) -> Variation:
    """Return a variation with arguments and parts beside the chip; `title` of the arguments."""
    texts = [title, f'{EXTERNAL} = "{external}"']
    lines = {"budget": {EXTERNAL: external}}
    return Variation(kind, ", ".join(filter(None, texts)), lines, options)


def _searched_bits(report: Report, settings: Config, arguments: Arguments) -> Iterator[Variation]:
    """Yield bits that the precision search chooses, if weights are read from memories behind L2: as
    few as save waits, as few as the limits of the build need, and as few as a build without parts
    beside the chip needs."""
    held, limits = report["memory"], report.get("budget") or {}
    streamed = any(_streamed_bytes(row, held["levels"]) for row in report["layers"])
    if not streamed or _has_chosen_bits(report, settings, arguments):
        return
    for word in (FAST, *[AUTO] * bool(goals(limits) or limits.get(EXTERNAL))):
        yield Variation("search", f"bits by --weights {word}", options={"weights": word})
    for external in PARTS[:1] if held["external"] else ():
        for title, options in {"": {}, **_levels(report, arguments)}.items():
            texts = ", ".join(filter(None, [title, f"bits by --weights {AUTO}"]))
            yield _with_parts("search", texts, external, {**options, "weights": AUTO})


def _estimated_choices(
    report: Report, settings: Config, arguments: Arguments
) -> Iterator[Variation]:
    """Yield what may replace choices by estimated cycles: all layers on the cores, and tiles chosen
    by simulated cycles, if that takes only seconds."""
    engines = {row["engine"] for row in report["layers"] if row["macs"]}
    is_chosen = arguments.get("engine", AUTO) == AUTO and not settings.engine
    if is_chosen and ACCELERATOR.name in engines:
        yield Variation("engine", "all layers on the cores", options={"engine": CORES})
    if report["cycles"]["total"] <= TUNED_CYCLES and not arguments.get("tune"):
        yield Variation("tiles", "tiles by simulated cycles", options={"tune": True})
