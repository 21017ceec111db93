# SPDX-License-Identifier: Apache-2.0
"""ONNX's own tests of its operators: what is imported means what they say, the rest is listed."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import pytest

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.control_flow import CONTROL
from myoedge.frontend.onnx.integer_operators import WRITTEN_OUT
from myoedge.frontend.onnx.quantized import QUANTIZERS
from myoedge.frontend.onnx.refusals import ADVICE, SPECIAL
from myoedge.frontend.onnx.sequences import SEQUENCES
from myoedge.frontend.operator_table import ONNX_FOLDED, ONNX_IMPORT, ONNX_OF_INTEGERS, SHAPES
from myoedge.numerics.arrays import Array
from myoedge.operators.checks import check
from myoedge.operators.import_rows import import_rows
from myoedge.passes import prepare
from tests.support.each import each
from tests.support.onnx.nodes import cases, changed, computed, imported, variants

# Reason -> the cases of operators that are supported, but not in this use. All others run.
REFUSED: Mapping[str, tuple[str, ...]] = {
    "select_last_index": (r"test_arg(max|min)_.*select_last_index",),
    "transposed convolution 3-D": (r"test_convtranspose_3d",),
    "only the first result": (
        *(r"test_dropout_default_mask.*", r"test_maxpool_with_argmax_.*"),
        r"test_attention_.*with_qk_matmul.*",
    ),
    "model.eval()": (r"test_batchnorm_.*training_mode", r"test_training_dropout_.*"),
    "training_mode": (r"test_training_dropout.*",),
    "slopes that vary along 3 axes": (r"test_prelu_example",),
    "exponent that is a tensor": (r"test_pow(_example|_bcast_array|_types_.*)?",),
    "antialias": (r"test_resize_.*_antialias.*",),
    "does not depend on any input": (r"test_slice_start_out_of_bounds",),
    "conversion to a type that is neither": (r"test_cast_.*",),
    "constant for each of them": (r"test_(equal|less|greater).*",),
    "indices that are neither an integer input": (r"test_onehot_with.*_axis",),  # floats
    "tensors of type": (r"test_castlike_.*",),
    "a constant of type": (r"test_castlike_.*",),
    "peepholes": (r"test_lstm_with_peepholes",),
    "a remainder of a division by anything but a number": (r"test_mod_.*",),
    "a scatter with reduction": (
        *(r"test_scatter_elements_with_(duplicate|reduction)_.*", r"test_scatternd_.*"),
    ),
    "past keys, values or lengths": (r"test_attention_.*",),
    "attention of [": (r"test_attention_.*_gqa.*", r"test_attention_3d_local_window"),
    "may look at no key": (r"test_attention_.*(robustness|mode3|local_window_gqa).*",),
    "Unrecognized attribute": (r"test_dropout_random_old",),  # of an opset before 13
}
# ONNX's cases are of integers, of several largest elements, or of divisors by elements
OWN_CASES = ("Equal", "Mod", "TopK", "Trilu")
ROUNDED = ("test_averagepool_2d_ceil_last_window_starts_on_pad",)  # written with four digits
NO_RESULT = (  # NaN in every place
    *("test_averagepool_3d_default", "test_maxpool_3d_default"),
    *("test_averagepool_3d_dilations_small", "test_maxpool_3d_dilations_use_ref_impl"),
    *("test_maxpool_3d_dilations", "test_maxpool_3d_dilations_use_ref_impl_large"),
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True",
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False",
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False",
)
RAN_AT_LEAST = 320  # of single operators, onnx 1.23; older packages have fewer
EXPANDED_AT_LEAST = 250


def close(mine: Array, theirs: Any, case: Any) -> None:
    wanted = np.asarray(theirs)
    assert mine.shape == wanted.shape
    kind = "written" if case.name in ROUNDED else wanted.dtype.name
    # 16 bits are rounded again between operators, of which attention's result is made as well
    roundings = 4 if "_expanded" in case.name or "_attention_" in case.name else 2
    units = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
    relative = {name: roundings * unit for name, unit in units.items()}
    relative |= {"written": case.rtol, "float32": 1e-5, "float64": 1e-5}
    real = wanted.astype(np.float64)
    largest = float(np.abs(real[np.isfinite(real)]).max(initial=0.1))
    rtol = relative.get(kind, 0.0)
    np.testing.assert_allclose(mine.astype(np.float64), real, rtol=rtol, atol=1e-6 * largest)


def outcome(case: Any, folder: Path) -> str:
    """ "" where the case was imported and agrees, before and after the passes; else why not."""
    why, ran = "", False
    for model, inputs, outputs in variants(case):
        graph = imported(model, folder)
        try:  # an output may be found to be constant
            prepared = graph if isinstance(graph, MyoedgeError) else prepare(graph)
        except MyoedgeError as error:
            prepared = error
        if isinstance(graph, MyoedgeError) or isinstance(prepared, MyoedgeError):
            assert prepared.code in ("E111", "E112", "E115", "E119"), str(prepared)
            why += str(prepared)
            continue
        for found in (graph, prepared):
            for mine, theirs in zip(computed(found, inputs), outputs, strict=True):
                close(mine, theirs, case)
        ran = True
    return "" if ran else why


def run_all(tmp_path: Path, expanded: bool) -> tuple[Counter[str], dict[str, str]]:
    """How many cases ran by their first operator, and why the others did not."""
    ran, refused = Counter[str](), dict[str, str]()
    for name, case in cases().items():
        if ("_expanded" in name) is expanded and name not in NO_RESULT:
            why = outcome(case, tmp_path)
            if why:
                refused[name] = why
            else:
                ran[case.model.graph.node[0].op_type] += 1
    return ran, refused


def test_single_operators(tmp_path: Path) -> None:
    ran, refused = run_all(tmp_path, expanded=False)
    assert ran.total() >= RAN_AT_LEAST
    unexpected = {
        name: why
        for name, why in refused.items()
        if not any(
            reason in why and any(re.fullmatch(p, name) for p in patterns)
            for reason, patterns in REFUSED.items()
        )
    }
    assert not unexpected, "\n".join(unexpected.values())
    without = defaultdict(list)
    for name in ONNX_IMPORT:
        if not ran[name] and name not in OWN_CASES and "." not in name:
            without[name].append(name)
    assert not without, "rows that no case of ONNX's own runs"


@pytest.mark.slow
def test_operators_written_out_in_others(tmp_path: Path) -> None:
    """What ONNX defines as a function of other operators comes apart and still means the same."""
    ran, refused = run_all(tmp_path, expanded=True)
    assert ran.total() >= EXPANDED_AT_LEAST
    assert ran.total() > 3 * len(refused)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_changed_cases_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Whatever a number in them is: a legal graph or one of our errors; the process lives on."""
    rng = np.random.default_rng(seed)
    drawn = [case for name, case in cases().items() if "_expanded" not in name]
    codes = Counter[str]()
    for _ in range(800):
        options = list(variants(drawn[int(rng.integers(len(drawn)))]))
        model = changed(options[int(rng.integers(len(options)))][0], rng)
        graph = imported(model, tmp_path)
        if isinstance(graph, MyoedgeError):
            codes[graph.code] += 1
        else:
            check(graph, "imported")
            codes["read"] += 1
    assert set(codes) <= {"read", "E110", "E111", "E112", "E115", "E116", "E119"}
    assert min(codes["read"], codes["E111"], codes["E119"]) > 50


def test_every_operator_of_onnx_is_supported_or_refused_with_advice() -> None:
    newest = max(s.since_version for s in onnx.defs.get_all_schemas() if s.domain == "")
    schemas = [s for s in onnx.defs.get_all_schemas() if s.domain == ""]
    there = {s.name for s in schemas if not s.deprecated}  # those are converted
    read = {*ONNX_IMPORT, *ONNX_OF_INTEGERS, *SEQUENCES, *CONTROL, *QUANTIZERS, *WRITTEN_OUT}
    known = {*read, *ONNX_FOLDED, *SHAPES, *ADVICE}
    later = {name for name in there if onnx.defs.get_schema(name, newest, "").since_version > 28}
    assert there - later <= known
    assert not set(ADVICE) & set(ONNX_IMPORT)
    assert set(SPECIAL) <= read


SIGNATURES = {
    name: ast.parse(f"def _({rest}: ...").body[0].args  # type: ignore[attr-defined]
    for row in import_rows()
    for name, _, rest in (text.strip().partition("(") for text in row.onnx.split(";"))
    if name and "." not in name
}


@each("name", sorted(SIGNATURES))
def test_a_signature_has_attributes_and_defaults_of_onnx(name: str) -> None:
    schema, signature = onnx.defs.get_schema(name), SIGNATURES[name]
    assert len(signature.args) <= schema.max_input
    for argument, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True):
        theirs = argument.arg if argument.annotation is None else ast.unparse(argument.annotation)
        attribute = schema.attributes[theirs]
        assert attribute.required == (default is None), theirs
        value = None if default is None else ast.literal_eval(default)
        if value is not None and attribute.default_value.type:
            usual = onnx.helper.get_attribute_value(attribute.default_value)
            usual = usual.decode() if isinstance(usual, bytes) else usual
            assert (np.float32(value) if isinstance(value, float) else value) == usual, theirs
