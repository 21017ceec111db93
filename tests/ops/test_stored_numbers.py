# SPDX-License-Identifier: Apache-2.0
"""Integers of a build from elsewhere: those that a graph cannot give are refused, and with all
others the C stays inside its arrays, for every operator of the table."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoedge.codegen.library import called, library_files
from myoedge.codegen.render import template_dir
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.quantization.files import from_files, to_json, to_safetensors, weight_shapes
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.stored_numbers import check_stored
from myoedge.system import toolchain, tools
from myoedge.system.library import ObjectOptions, compile_objects
from tests.ops.case import Case
from tests.ops.harness import array_text, c_text, drawn, generated, on_host
from tests.support.each import each
from tests.support.guard import can_asan

EVERY = sorted(OPS)
COMPILED = [name for name in EVERY if not OPS[name].view]
FEW = ("embedding", "selective_scan", "trees")  # in every run


def accepted(q: QuantGraph) -> bool:
    """Whether the files of a network are read on a computer that knows nothing else of it."""
    document = json.loads(json.dumps(to_json(q)))
    try:
        check_stored(from_files(document, to_safetensors(q)), weight_shapes(document))
    except ValueError:
        return False
    return True


def with_number(case: Case, name: str, value: Any) -> Case:
    """The case with other integers in one field."""
    step = replace(case.step, integers=replace(case.step.integers, **{name: value}))
    other = replace(case)
    vars(other)["quant"] = replace(case.quant, steps=(step,))
    return other


def fields(case: Case) -> dict[str, Array]:
    numbers = case.step.integers
    return {name: np.asarray(x) for name, x in {**numbers.scalars, **numbers.arrays}.items()}


def damaged(case: Case, seed: int) -> Iterator[tuple[str, str, Case]]:
    """The case with each field damaged in every way: (field, way, case)."""
    rng = np.random.default_rng(seed)
    for name, x in fields(case).items():
        kind = np.iinfo(x.dtype if x.ndim else np.int32)
        ways: dict[str, Array] = {"lowest": np.full_like(x, kind.min)}
        ways["highest"] = np.full_like(x, kind.max)
        ways["negative"] = np.full_like(x, max(-1, kind.min))
        ways["large"] = np.full_like(x, min(2**14, kind.max))
        if low_high := OPS[case.op].constants.learnt.ranges.get(name):
            low, high = max(low_high[0], int(kind.min)), min(low_high[1], int(kind.max))
            ways |= {"low": np.full_like(x, low), "high": np.full_like(x, high)}
            ways["any"] = rng.integers(low, high, x.shape, x.dtype, endpoint=True)
            ways["shuffled"] = rng.permutation(x.reshape(-1)).reshape(x.shape)
        if x.ndim:
            at = np.unravel_index(rng.integers(x.size), x.shape)
            ways["one"] = x.copy()
            ways["one"][at] ^= 1 << (kind.bits - 2)
            ways["shorter"], ways["flat"] = x[:-1], x.reshape(-1)[: x.size // 2]
            ways["wider"] = x.astype(np.int64)
            ways["longer"] = np.concatenate([x, x[-1:]])
        for way, value in ways.items():
            if way == "flat" and value.shape == x.shape:
                continue
            yield name, way, with_number(case, name, value if x.ndim else int(value))


@each("op", EVERY)
def test_integers_that_quantisation_gives_are_accepted(op: str) -> None:
    """So OpDef.learnt names all that weights decide: other fields are compared with those of ones
    as weights."""
    assert all(accepted(case.quant) for case in drawn(op, 3))


@pytest.mark.parametrize("op", EVERY)
def test_no_damage_is_accepted_but_of_weights(op: str) -> None:
    """Another shape or type of an array, or other integers that do not depend on weights."""
    learnt = OPS[op].constants.learnt
    for case in drawn(op, 1):
        for name, way, other in damaged(case, 0):
            before, after = fields(case)[name], fields(other)[name]
            alike = before.shape == after.shape and before.dtype == after.dtype
            free = name in learnt.ranges and (alike or name in learnt.varying)
            same = alike and np.array_equal(before, after)
            assert same or free or not accepted(other.quant), (name, way)


def survivors(op: str, count: int) -> list[Case]:
    """Damaged cases whose files are accepted."""
    found = []
    for number, case in enumerate(drawn(op, count)):
        seed = zlib.crc32(f"{op} {number}".encode())
        found += [other for *_, other in damaged(case, seed) if accepted(other.quant)]
    return found


def program(cases: list[Case]) -> str:
    """A program that runs every case, one after the other, and prints its number first."""
    lines, calls = ["#include <stdio.h>", c_text(cases, [*map(on_host, cases)])], []
    for index, case in enumerate(cases):
        for at, data in enumerate(case.data):
            lines.append(array_text(f"data_{index}_{at}", data))
        kind = case.quant.element_type("y").dtype
        size = max(1, int(np.prod(case.step.out)))
        lines.append(f"static {kind}_t y_{index}[{size}];")
        given = ", ".join(f"data_{index}_{at}" for at in range(len(case.data)))
        calls.append(f'fprintf(stderr, "case {index}\\n");')
        calls.append(
            f"{{ const void *const in[] = {{ {given} }}; void *const out[] = {{ y_{index} }};"
        )
        calls.append(f"if (case_{index}(in, out)) return 1; }}")
    body = "\n    ".join(calls)
    return "\n".join([*lines, f"int main(void)\n{{\n    {body}\n    return 0;\n}}\n"])


@pytest.mark.parametrize(
    "op", [pytest.param(x, marks=[pytest.mark.slow] * (x not in FEW)) for x in COMPILED]
)
def test_c_with_accepted_integers_stays_inside_its_arrays(op: str, tmp_path: Path) -> None:
    """By both sanitizers, whatever the integers of the weights are."""
    cc = toolchain.compiler("cc")
    if not can_asan(cc):
        pytest.skip("the system's compiler does not catch a planted overflow")
    cases = survivors(op, 1 if op in FEW else 4)
    if not cases:
        return
    tilings = [*map(on_host, cases)]
    for path, text in library_files(called(tilings), generated(tilings)).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "cases.c").write_text(program(cases))
    options = toolchain.CompileOptions(sanitize=("address", "undefined"), optimize="-O0")
    sources = [tmp_path / "cases.c", *sorted((tmp_path / "library").glob("*.c"))]
    shutil.copytree(template_dir() / "include", tmp_path / "include")
    include, flags = [tmp_path / "include", tmp_path], options.flags(cc)
    objects, done = compile_objects(sources, ObjectOptions(tmp_path, cc, flags, include))
    assert done.returncode == 0, done.stderr[:4000]
    done = toolchain.compile_sources(objects, tmp_path / "cases", cc, flags)
    assert done.returncode == 0, done.stderr[:4000]
    ran = tools.run([str(tmp_path / "cases")], cwd=tmp_path, timeout_s=60)  # walks that never end
    *_, last = [line for line in ran.stderr.splitlines() if line.startswith("case ")]
    assert ran.returncode == 0, f"{cases[int(last.split()[1])]}\n{ran.stderr[-3000:]}"
