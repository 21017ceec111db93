# SPDX-License-Identifier: Apache-2.0
"""Suggestions: which builds are worth one, in which order, and what is said of them."""

from __future__ import annotations

import fnmatch
import tomllib
from typing import Any

import pytest

from myoedge.building.config_tables import Config, LayerTable, StreamTable
from myoedge.extensions.sweeps.suggestions import Figures, figures, suggestions
from myoedge.extensions.sweeps.variations import Variation, variations

PLAIN: Figures = {
    "cycles": 1000, "latency_s": 0.003, "energy_uj": 50.0, "sqnr_db": 24.0, "accuracy": None,
    "l2_bytes": 400 << 10, "l3_bytes": 0, "chip_l2_bytes": 1536 << 10, "average_mw": None,
    "delay_s": 0.003, "external_parts": 0,
}  # fmt: skip
STREAM: Figures = {**PLAIN, "average_mw": 18.5, "delay_s": 0.004}
CONV2 = Variation("16 bits", "16 bits at conv2")
FRAMES = Variation("frames", "frames = 16", "[stream] frames = 16")
FEW = Variation("weights", "weights of 4 bits")
FEW_STREAMED, MEMORY = Variation("residency", "4 bits for a"), Variation("memory", "MRAM")


def texts(base: Figures, *tried: tuple[Variation, dict[str, float | None]]) -> list[str]:
    return [s.text for s in suggestions(base, [(t, {**base, **new}) for t, new in tried])]


@pytest.mark.parametrize(
    ("base", "variation", "new", "text"),
    [
        (STREAM, FRAMES, {"average_mw": 3.2, "delay_s": 0.012, "cycles": 9000},
         "frames = 16: 3.2 instead of 18.5 mW, 8 ms later"),
        (PLAIN, CONV2, {"sqnr_db": 30.0, "cycles": 1020, "energy_uj": 50.0},
         "16 bits at conv2: +6.0 dB, +2 % cycles"),
        ({**PLAIN, "l3_bytes": 90 << 10}, FEW, {"l3_bytes": 0, "energy_uj": 44.0},
         "weights of 4 bits fit L2: -12 % energy, 90 KiB less of L3"),
        ({**PLAIN, "l3_bytes": 90 << 10, "external_parts": 2}, FEW_STREAMED,
         {"l3_bytes": 0, "energy_uj": 44.0, "cycles": 800, "external_parts": 0},
         "4 bits for a fit L2: -12 % energy, -20 % cycles, 90 KiB less of L3, "
         "no external RAM and flash"),
        ({**PLAIN, "external_parts": 2}, MEMORY, {"external_parts": 1}, "MRAM: no external RAM"),
        ({**PLAIN, "accuracy": 0.9}, FEW, {"accuracy": 0.905, "energy_uj": 40.0},
         "weights of 4 bits: +0.5 points, -20 % energy"),
        ({**STREAM, "average_mw": None}, FRAMES, {"average_mw": 3.2},
         "frames = 16: keeps up with the stream, at 3.2 mW"),
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
        (PLAIN, {"l2_bytes": 380 << 10}),  # 1.3 % of L2
    ],
)
def test_what_is_no_better_is_not_suggested(base: Figures, new: dict[str, float | None]) -> None:
    assert texts(base, (CONV2, new)) == []


def test_at_most_five_and_two_of_a_kind_the_best_first() -> None:
    tried = [
        (Variation(kind, f"{kind} {n}"), {"energy_uj": 40.0 - n})
        for kind in "abcd"
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
    memory = {"levels": {"l3": streamed_bytes}, "l3_weights_bytes": streamed_bytes}
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


def test_streamed_weights_get_fewer_bits_or_another_memory() -> None:
    def tried(*layers: dict[str, object], **arguments: str) -> dict[str, dict[str, int]]:
        found = variations(report(40.0, *layers), Config(), {"engine": "cores", **arguments})
        kinds = ("residency", "memory")
        rules = {x.title: {n: rule.weights for n, rule in x.quant.items()} for x in found
                 if x.kind in kinds}  # fmt: skip
        for one in found:
            if one.quant:
                assert {n: rule["weights"] for n, rule in tomllib.loads(one.how)["quant"].items()} \
                    == {n: rule.weights for n, rule in one.quant.items()}  # fmt: skip
            assert one.kind != "memory" or one.options == {"memory": "mram=auto"}
        return rules  # type: ignore[return-value]

    resident, large = row("a", 30.0), row("b", 30.0, weights_l3_bytes=6000)
    wide = row("c", 30.0, weights_l3_bytes=2048, weight_bits=16, weights_bytes=16384)
    mram = {"weights in MRAM too": dict[str, int]()}
    assert tried(resident) == {}
    of_two = "bits for weights outside L2 (b and 1 more)"
    both = {"b", "c"}  # 16,528 of 24,576 bytes stay: 10.8 of 16 bits
    assert (
        tried(resident, large, wide)
        == {f"{bits} {of_two}": dict.fromkeys(both, bits) for bits in (8, 4)} | mram
    )
    assert tried(resident, large, wide, memory="mram=auto").keys() == {f"8 {of_two}", f"4 {of_two}"}
    assert tried(resident, large, wide, weights="auto") == mram
    few = row("d", 30.0, weights_l3_bytes=4096, engine="ne16")  # half of the bytes stay
    assert (
        tried(row("e", 30.0, weights_bytes=9000), few)
        == {"4 bits for weights outside L2 (d)": {"d": 4}} | mram
    )
    many = row("f", 30.0, weights_l3_bytes=2048, engine="ne16")  # 6 of 8 bits stay
    assert [*tried(many)] == ["6 bits for weights outside L2 (f)", *mram]
    assert [*tried(row("g", 30.0, weights_l3_bytes=8192, weight_bits=4))] == [*mram]


def test_names_are_patterns_and_toml_as_they_stand() -> None:
    name = 'blocks[0]."a"*'
    (found, *_) = variations(report(20.0, row(name, 10.0)), Config(), {})
    table = tomllib.loads(found.how)["quant"]
    ((pattern, rule),) = table.items()
    assert rule == {"activations": 16, "weights": 16}
    assert list(found.quant) == [pattern]
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
        "memory": {"external": []},
        "stream": {"pass_frames": 4, "frame_hz": 200.0},
    }
    assert figures(report)["delay_s"] == pytest.approx(1e-5 + 4 / 200)
    assert figures({**report, "decision_s": 0.0165})["delay_s"] == 0.0165
