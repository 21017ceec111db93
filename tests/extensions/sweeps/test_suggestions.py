# SPDX-License-Identifier: Apache-2.0
"""Suggestions: which builds are worth one, in which order, and what is said of them."""

from __future__ import annotations

import fnmatch
import tomllib
from typing import Any

import pytest

from myoedge.building.config_tables import Config, LayerTable, StreamTable
from myoedge.extensions.sweeps.figures import PATHS, Figures, changes, figures
from myoedge.extensions.sweeps.suggestions import suggestions
from myoedge.extensions.sweeps.variations import Variation, variations
from myoedge.reports.facts import FACT_OF

PLAIN: Figures = {
    "cycles": 1000, "latency_s": 0.003, "energy_uj": 50.0, "sqnr_db": 24.0, "accuracy": None,
    "l2_bytes": 400 << 10, "l3_bytes": 0, "chip_l2_bytes": 1536 << 10, "average_mw": None,
    "delay_s": 0.003, "external_parts": 0,
}  # fmt: skip
STREAM: Figures = {**PLAIN, "average_mw": 18.5, "delay_s": 0.004}
CONV2 = Variation("16 bits", "16 bits at conv2")
FRAMES = Variation("frames", "frames = 16", {"stream": {"frames": 16}})
FEW = Variation("weights", "weights of 4 bits")
FEW_STREAMED, MEMORY = Variation("residency", "4 bits for a"), Variation("memory", "MRAM")


def texts(base: Figures, *tried: tuple[Variation, dict[str, float | None]]) -> list[str]:
    return [s.text for s in suggestions(base, [(t, {**base, **new}) for t, new in tried])]


@pytest.mark.parametrize(
    ("base", "variation", "new", "text"),
    [
        (STREAM, FRAMES, {"average_mw": 3.2, "delay_s": 0.012, "cycles": 9000, "pass_frames": 16},
         "frames = 16: 3.2 instead of 18.5 mW; costs: 8 ms later"),
        (PLAIN, CONV2, {"sqnr_db": 30.0, "cycles": 1020, "energy_uj": 50.0},
         "16 bits at conv2: +6.0 dB; costs: +2 % cycles"),
        ({**PLAIN, "l3_bytes": 90 << 10}, FEW, {"l3_bytes": 0, "energy_uj": 44.0},
         "weights of 4 bits fit L2: -12 % energy, 90 KiB less of L3"),
        ({**PLAIN, "l3_bytes": 90 << 10, "external_parts": 2}, FEW_STREAMED,
         {"l3_bytes": 0, "energy_uj": 44.0, "cycles": 800, "external_parts": 0},
         "4 bits for a fit L2: -12 % energy, -20 % cycles, 90 KiB less of L3, "
         "no external RAM and flash"),
        ({**PLAIN, "external_parts": 2}, MEMORY, {"external_parts": 1}, "MRAM: no external RAM"),
        ({**PLAIN, "l3_bytes": 90 << 10, "external_parts": 2}, MEMORY,
         {"l3_bytes": 0, "mram_bytes": 96 << 10, "external_parts": 1, "cycles": 1100},
         "MRAM: 90 KiB less of L3, no external RAM; costs: +10 % cycles, 96 KiB more of MRAM"),
        ({**PLAIN, "accuracy": 0.9}, FEW, {"accuracy": 0.905, "energy_uj": 40.0},
         "weights of 4 bits: +0.5 points, -20 % energy"),
        ({**STREAM, "average_mw": None}, FRAMES, {"average_mw": 3.2, "sqnr_db": 22.5},
         "frames = 16: keeps up with the stream, at 3.2 mW; costs: -1.5 dB"),
    ],
)  # fmt: skip
def test_gains_and_prices_are_said(
    base: Figures, variation: Variation, new: dict[str, float | None], text: str
) -> None:
    assert texts(base, (variation, new)) == [text]


@pytest.mark.parametrize(
    ("base", "new"),
    [
        (PLAIN, {"energy_uj": 49.5}),  # 1 %
        (PLAIN, {"energy_uj": 30.0, "sqnr_db": 15.0}),  # weak
        ({**PLAIN, "accuracy": 0.9}, {"energy_uj": 30.0, "accuracy": 0.88}),
        ({**PLAIN, "sqnr_db": 40.0}, {"sqnr_db": 50.0}),  # enough before
        (PLAIN, {"sqnr_db": 25.5, "energy_uj": 60.0, "cycles": 1200}),  # too dear
        (STREAM, {"average_mw": None}),  # does not keep up
        ({**STREAM, "external_parts": 2}, {"average_mw": None, "external_parts": 0}),
        ({**PLAIN, "l3_bytes": 90 << 10}, {"l3_bytes": 0, "mram_bytes": 90 << 10}),  # as many bytes
        (PLAIN, {"l2_bytes": 380 << 10}),  # 1.3 % of L2
    ],
)
def test_what_is_no_better_is_not_suggested(base: Figures, new: dict[str, float | None]) -> None:
    assert texts(base, (CONV2, new)) == []


def test_of_equal_builds_one_is_suggested() -> None:
    """The one with the fewest settings, then the first by title."""
    new, more = {"energy_uj": 30.0}, {"energy_uj": 29.99}  # both -40 %
    tried = (Variation("a", "a", options={"memory": "mram=auto"}), Variation("b", "c"),
             Variation("b", "b"))  # fmt: skip
    assert [x[0] for x in texts(PLAIN, (tried[0], more), (tried[1], new), (tried[2], new))] == ["b"]


def test_at_most_five_and_two_of_a_kind_the_best_first() -> None:
    tried = [
        (Variation(kind, f"{kind} {n}"), {"energy_uj": 40.0 - 4 * n + place})
        for place, kind in enumerate("abcd")
        for n in range(3)
    ]
    found = texts(PLAIN, *tried)
    assert [text.partition(":")[0] for text in found] == ["a 2", "b 2", "c 2", "d 2", "a 1"]


def row(name: str, db: float, **more: object) -> dict[str, object]:
    origin = [{"path": name, "source": ""}]
    given = {"name": name, "label": name, "op": "conv", "origin": origin, "sqnr_local_db": db}
    return {**given, "dtype": "int8", "weight_dtype": "int8", "weight_bits": 8, "macs": 9,
            "weights_bytes": 8192, "weights_l3_bytes": 0, "engine": "cores", **more}  # fmt: skip


def report(db: float, *layers: dict[str, object], **more: object) -> dict[str, object]:
    quantization = {"sqnr_db": db, "calibration": {"observer": "minmax"}}
    streamed_bytes = sum(layer["weights_l3_bytes"] for layer in layers)  # type: ignore[misc]
    parts = ["flash", "ram"] if streamed_bytes else []
    memory = {
        "levels": {"l3": streamed_bytes}, "l3_weights_bytes": streamed_bytes, "external": parts,
    }  # fmt: skip
    return {"layers": layers, "quantization": quantization, "cycles": {"total": 10**9},
            "memory": memory, "target": {"chip": "gap9"}, **more}  # fmt: skip


def test_16_bits_are_tried_where_most_is_lost_and_4_where_weights_are_large() -> None:
    layers = (row("a", 30.0), row("b", 20.0, weights_bytes=20000), row("c", 25.0, dtype="int16"))
    found = {
        variation.title: variation for variation in variations(report(24.0, *layers), Config(), {})
    }
    assert list(found) == ["16 bits at b", "16 bits at a", "16 bits until 30 dB",
                           "weights of 4 bits", "4 bits for weights of b"]  # fmt: skip
    settings = found["16 bits at b"].settings(Config(quant={"x": LayerTable(weights=4)}))
    assert settings.quant == {"x": LayerTable(weights=4),
                              "b": LayerTable(weights=16, activations=16)}  # fmt: skip
    good = variations(report(31.0, *layers), Config(), {"weights": "auto", "method": "mse"})
    assert [variation.title for variation in good] == ["ranges by the best observer"]
    of_file = report(24.0, *layers)
    of_file["quantization"] = {"sqnr_db": 24.0, "calibration": {"observer": "file"}}
    titles = [variation.title for variation in variations(of_file, Config(), {"method": "mse"})]
    assert titles == ["16 bits until 30 dB"]


def tried(*layers: dict[str, object], **arguments: str) -> dict[str, dict[str, int]]:
    """Titles of what is tried for weights outside L2 -> bits by layer."""
    found = variations(report(40.0, *layers), Config(), {"engine": "cores", **arguments})
    rules = {x.title: x.tables.get("quant", {}) for x in found if x.kind in ("residency", "memory")}
    return {title: {n: rule["weights"] for n, rule in x.items()} for title, x in rules.items()}


def test_streamed_weights_get_fewer_bits_or_another_memory() -> None:
    resident, large = row("a", 30.0), row("b", 30.0, weights_l3_bytes=6000)
    wide = row("c", 30.0, weights_l3_bytes=2048, weight_bits=16, weights_bytes=16384)
    mram: dict[str, dict[str, int]] = {
        "weights in MRAM too": {},
        'weights in MRAM, external = "none"': {},
        'weights in MRAM, external = "flash"': {},
    }
    assert tried(resident) == {}
    of_two = "bits for weights outside L2 (b and 1 more)"
    both = {"b", "c"}  # 16,528 of 24,576 bytes stay: 10.8 of 16 bits
    assert (
        tried(resident, large, wide)
        == {f"{bits} {of_two}": dict.fromkeys(both, bits) for bits in (8, 4)} | mram
    )
    assert tried(resident, large, wide, memory="mram=off").keys() == {f"8 {of_two}", f"4 {of_two}"}
    assert tried(resident, large, wide, weights="auto") == mram
    few = row("d", 30.0, weights_l3_bytes=4096, engine="ne16")  # half of the bytes stay
    assert (
        tried(row("e", 30.0, weights_bytes=9000), few)
        == {"4 bits for weights outside L2 (d)": {"d": 4}} | mram
    )
    many = row("f", 30.0, weights_l3_bytes=2048, engine="ne16")  # 6 of 8 bits stay
    assert [*tried(many)] == ["6 bits for weights outside L2 (f)", *mram]
    assert [*tried(row("g", 30.0, weights_l3_bytes=8192, weight_bits=4))] == [*mram]


@pytest.mark.parametrize(
    ("held", "arguments", "found"),
    [
        ({"l3": 0}, {}, []),
        ({"l3": 6000}, {}, [("mram=auto", None), ("mram=auto", "none"), ("mram=auto", "flash")]),
        ({"l3": 6000}, {"memory": "mram=off"}, []),
        ({"l3": 6000, "mram": 9000}, {"memory": "mram=auto"}, [(None, "none"), (None, "flash")]),
        ({"mram": 9000}, {"memory": "mram=auto"}, [(None, "none")]),
        ({"l3": 0, "mram": 0}, {"memory": "mram=auto"}, []),
    ],
)
def test_memories_and_fewer_parts_are_tried_together(
    held: dict[str, int], arguments: dict[str, str], found: list[tuple[str | None, str | None]]
) -> None:
    """Parts: of L3 a RAM and a flash, of MRAM alone a flash."""
    parts = ["flash", "ram"] if held.get("l3") else ["flash"] * bool(held.get("mram"))
    sizes = {"weights_l3_bytes": 0, **{f"weights_{name}_bytes": n for name, n in held.items()}}
    given = report(40.0, row("a", 30.0, **sizes))
    given["memory"] = {
        "levels": held, "l3_weights_bytes": held.get("l3", 0), "external": parts,
    }  # fmt: skip
    asked = [x for x in variations(given, Config(), arguments) if x.kind == "memory"]
    settings = [x.settings(Config()).budget.external for x in asked]
    assert [*zip((x.options.get("memory") for x in asked), settings, strict=True)] == found
    for one in asked:
        assert tomllib.loads(one.how).get("budget", {}).get("external") in (None, *settings)


def test_bits_of_the_precision_search_are_tried_where_weights_are_outside() -> None:
    given = report(40.0, row("a", 30.0, weights_l3_bytes=6000))

    def searched(settings: dict[str, object], **arguments: str) -> list[tuple[str, str | None]]:
        asked = variations({**given, "budget": settings}, Config(), arguments)
        chosen = [x for x in asked if x.kind == "search"]
        return [
            (" ".join(map(str, x.options.values())), x.settings(Config()).budget.external)
            for x in chosen
        ]

    without = [("auto", "none"), ("mram=auto auto", "none")]
    assert searched({}) == [("fast", None), *without]
    assert searched({"latency_s": 1e-3}) == [("fast", None), ("auto", None), *without]
    assert searched({"external": "ram"}, memory="mram=off")[1:] == [("auto", None), without[0]]
    assert searched({}, weights="fast") == []


def test_names_are_patterns_and_toml_as_they_stand() -> None:
    name = 'blocks[0]."a"*'
    (found, *_) = variations(report(20.0, row(name, 10.0)), Config(), {})
    table = tomllib.loads(found.how)["quant"]
    ((pattern, rule),) = table.items()
    assert rule == {"activations": 16, "weights": 16}
    assert list(found.tables["quant"]) == [pattern]
    assert fnmatch.fnmatchcase(name, pattern)
    assert not fnmatch.fnmatchcase('blocks0."a"b', pattern)


@pytest.mark.parametrize(
    ("table", "frames"),
    [(StreamTable(rate=200.0), [128, 256, 512]), (StreamTable(rate=200.0, past=4), [])],
)
def test_passes_grow_up_to_the_longest(table: StreamTable, frames: list[int]) -> None:
    stream = {"frame_hz": 200.0, "pass_frames": 64}
    found = variations(report(40.0, stream=stream), Config(stream=table), {"engine": "cores"})
    assert [t.settings(Config()).stream.frames for t in found if t.kind == "frames"] == frames


def test_the_delay_of_an_application_is_that_of_its_decision() -> None:
    report: dict[str, Any] = {
        "latency_s": 1e-5,
        "memory": {"external": [], "l3_bytes": 0},
        "stream": {"pass_frames": 4, "frame_hz": 200.0},
    }
    assert figures(report)["delay_s"] == pytest.approx(1e-5 + 4 / 200)
    assert figures({**report, "decision_s": 0.0165})["delay_s"] == 0.0165


# --- nothing becomes worse in silence -------------------------------------------------------------

RICH = report(
    24.0, row("a", 20.0, engine="ne16"), row("b", 22.0, weights_l3_bytes=6000),
    stream={"frame_hz": 200.0, "pass_frames": 16}, budget={"sqnr_db": 20.0},
    cycles={"total": 1000},
)  # fmt: skip
EVERY = (*variations(RICH, Config(), {"method": "mse"}), *(
    Variation("operating point", f"operating point {name}") for name in ("low", "high")
))  # fmt: skip
# Per figure of a report that has a bound in [check]: the loss, of decibels and shares as difference
LOSS = {"sqnr_db": 1.5, "accuracy": 0.008}
FIGURES = {name: FACT_OF[path] for name, path in PATHS.items() if path in FACT_OF}
JUDGED = {name: fact for name, fact in FIGURES.items() if fact.bound}
UNKNOWN: Figures = {"accuracy": 0.9, "rmse": 2.0, "mram_bytes": 0}
OTHERS = ("average_mw", "delay_s", "mram_bytes", "external_parts")


def worse(name: str, value: float) -> float:
    """A figure that is important, and worse: by 7 % unless it is a difference or of memories."""
    if name.endswith("_bytes"):
        return value + (60 << 10)
    if name == "external_parts":
        return value + 1
    if name in LOSS:
        return value - LOSS[name]
    return value * (1.07 if name not in JUDGED or JUDGED[name].better < 0 else 0.93)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (base, name)
        for base in (PLAIN, STREAM)
        for name in (*JUDGED, *OTHERS)
        if name not in base or base[name] is not None or name in UNKNOWN
    ],
)
def test_every_suggestion_tells_what_it_costs(base: Figures, name: str) -> None:
    """Every kind of suggestion, whatever it gains, and every figure with a bound."""
    old = {**base, **UNKNOWN, "external_parts": 1}
    new = {**old, "energy_uj": 10.0, "l2_bytes": 1000, "external_parts": 0}
    new["average_mw"] = old["average_mw"] and 4.0
    new[name] = worse(name, old[name] or 0)
    if name == "latency_s":  # as cycles at the same clock, and as a delay
        new["delay_s"] = worse("delay_s", old["delay_s"] or 0)
    kinds = {one.kind for one in EVERY}
    assert len(kinds) == 10, kinds
    for one in EVERY:
        (made,) = suggestions(old, [(one, new)])
        assert len(made.costs) == 1, (one.title, made.text)
        assert made.text.endswith(f"; costs: {made.costs[0]}")
        better = changes(new, old)
        assert len(better.gains) == 1, "the way back gains just this"


@pytest.mark.parametrize("streamed_kib", [0, 200])
@pytest.mark.parametrize("room_kib", [1, 1024])
@pytest.mark.parametrize("program_kib", [None, 100, 400])
def test_a_program_in_the_flash_on_the_chip_counts_with_its_weights(
    streamed_kib: int, room_kib: int, program_kib: int | None
) -> None:
    """A program that has no room there is in the flash beside the chip, with none of its bytes."""

    def figures_of(program: int | None, streamed: int, room: int) -> Figures:
        given = report(40.0, target={"chip": "gap9", "l2_bytes": 1536 << 10})
        given["memory"] = {
            "levels": {"mram": streamed << 10}, "external": [], "l2_peak_bytes": 9, "l3_bytes": 0,
            "boot_image_bytes": program and program << 10, "boot_rooms": {"mram": room << 10},
        }  # fmt: skip
        return figures(given)

    kib = streamed_kib + (program_kib or 0) * (room_kib == 1024)
    old, new = figures_of(300, 500, 1024), figures_of(program_kib, streamed_kib, room_kib)
    told = changes(old, new)
    assert told.gains == (f"{800 - kib} KiB less of MRAM",), told.text
    assert changes(new, old).costs == (f"{800 - kib} KiB more of MRAM",)
