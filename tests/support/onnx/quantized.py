# SPDX-License-Identifier: Apache-2.0
"""Random one-operator networks, and onnxruntime as their judge."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from myoedge.codegen.qdq import qdq_model
from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Shape, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import dequantize, quantize
from myoedge.operators.base import OPS
from myoedge.operators.cases import Draw as Choices
from myoedge.operators.cases import drawn_uses
from myoedge.operators.interpreter import run_int
from myoedge.operators.library.reductions import adaptive, regular
from myoedge.operators.queries import output_of
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Calibration, Observer, calibrate
from myoedge.quantization.drawn_case import allowed as meaning
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.stated_widths import LayerRule
from myoedge.targets import find_chip
from tests.ops.case import Case as Drawn

SAMPLES = 6


def network(
    nodes: Sequence[Node], inputs: Mapping[str, Shape], constants: Mapping[str, Array]
) -> Graph:
    """A graph whose output is the last node's."""
    tensors = {name: Tensor(name, shape) for name, shape in inputs.items()}
    for node in nodes:
        shapes = [tensors[x].shape if x in tensors else constants[x].shape for x in node.inputs]
        tensors[node.name] = output_of(node, shapes)
    outputs = (nodes[-1].name,)
    held = as_constants(constants)
    return Graph(tuple(inputs), outputs, tuple(nodes), tensors, held, ("result",))


def planned(
    graph: Graph,
    samples: Mapping[str, Array],
    rules: Sequence[LayerRule] = (),
    int16: frozenset[str] = frozenset(),
) -> Plan:
    q = quantize_graph(graph, calibrate(graph, samples, Observer(), "test"), rules, int16)
    return make_plan(q, find_chip("host"))


def session(model: bytes) -> ort.InferenceSession:
    """onnxruntime as the standard says, without its own rewriting of QDQ into integers."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def checked(plan: Plan) -> bytes:
    model = qdq_model(plan, "net")
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    return model


def planned_with(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> Plan:
    calibration = Calibration(ranges, 1, "test", "")
    return make_plan(quantize_graph(graph, calibration), find_chip("host"))


def drawn_inputs(rng: np.random.Generator, q: QuantGraph) -> dict[str, Array]:
    """int8 inputs, with the ends of the range more often than they would come."""
    drawn = {name: rng.integers(-128, 128, q.graph.shape(name)) for name in q.graph.inputs}
    ends = {name: rng.choice([-128, 127], x.shape) for name, x in drawn.items()}
    return {
        name: np.where(rng.random(x.shape) < 0.1, ends[name], x).astype(np.int8)
        for name, x in drawn.items()
    }


def worst_step(plan: Plan, rng: np.random.Generator, runs: int = 4, share: float = 0.0) -> float:
    """Largest difference of the output's integers, the same quantised inputs given.

    share   of every integer that is not counted: what a factor in few bits makes of it
    """
    q = plan.quant
    judge, worst = session(checked(plan)), 0.0
    for _ in range(runs):
        inputs = drawn_inputs(rng, q)
        ours = run_int(q.steps, q.constants, inputs)[q.graph.outputs[0]]
        feed = {name: dequantize(x, q.params[name]) for name, x in inputs.items()}
        theirs = judge.run(None, feed)[0]
        assert theirs.shape == ours.shape
        params = q.params.get(q.graph.outputs[0])
        again = theirs if params is None else quantize(theirs, params)
        off = np.abs(again.astype(np.int64) - ours) - share * np.abs(ours)
        worst = max(worst, float(off.max(initial=0)))
    return worst


def check_file(case: Drawn) -> None:
    """A use in the file is within 3/4 of a step of torch's value: `slack` is the operator's own."""
    low, high = meaning(replace(case, slack=float32_sums))
    found = file_integers(case)
    assert found.shape == case.step.out, case
    found = found.reshape(low.shape)
    assert ((low <= found) & (found <= high)).all(), (case, found, low, high)


def file_integers(case: Drawn) -> Array:
    """A use's result by onnxruntime, as integers of its step."""
    q = case.quant
    pairs = zip(q.graph.inputs, case.data, strict=True)
    feed = {x: np.asarray(dequantize(n, q.params[x]) if x in q.params else n) for x, n in pairs}
    (y,) = session(checked(make_plan(q, find_chip("host")))).run(None, feed)
    params = q.params.get(q.graph.outputs[0])
    return np.asarray(y if params is None else quantize(y, params))


def float32_sums(case: Drawn) -> float:
    """What onnxruntime's float32 adds to torch's float64, in steps."""
    largest = max(float(np.abs(x).max(initial=0)) for x in case.dequantized)
    return largest * 2.0**-20 / float(case.target.scale)


Case = tuple[dict[str, Any], list[Shape], list[Array]]  # attributes, inputs, constants after them
Draw = Callable[[np.random.Generator], Case]


def ints(rng: np.random.Generator, low: int, high: int, count: int) -> tuple[int, ...]:
    return tuple(int(x) for x in rng.integers(low, high + 1, count))


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def draw_conv(rng: np.random.Generator) -> Case:
    rank, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2, 3]))
    taps, per_group = ints(rng, 1, 5, 2)
    kernel, dilation = ints(rng, 1, 3, rank), ints(rng, 1, 2, rank)
    spatial = tuple(
        (k - 1) * d + 1 + int(rng.integers(0, 6)) for k, d in zip(kernel, dilation, strict=True)
    )
    pads = tuple(ints(rng, 0, 2, 2) for _ in range(rank))
    attrs = {"stride": ints(rng, 1, 3, rank), "dilation": dilation, "pads": pads, "groups": groups}
    weight = normal(rng, groups * per_group, *kernel, taps) * rng.choice([0.01, 1.0, 20.0])
    constants = [weight.astype(np.float32), 3 * normal(rng, groups * per_group)]
    batch = int(rng.integers(1, 3))
    return attrs, [(batch, *spatial, groups * taps)], constants[: int(rng.integers(1, 3))]


def draw_linear(rng: np.random.Generator) -> Case:
    *lead, c, k = ints(rng, 1, 9, int(rng.integers(2, 5)))
    return {}, [(*lead, c)], [normal(rng, k, c), normal(rng, k)][: int(rng.integers(1, 3))]


def draw_matmul(rng: np.random.Generator) -> Case:
    b, m, c, k = ints(rng, 1, 7, 4)
    turned = bool(rng.integers(2))
    right = (k, c) if turned else (c, k)
    attrs = {"b_turned": True} if turned else {}
    return attrs, [(b, m, c), [(b, *right), right, (1, *right)][int(rng.integers(3))]], []


def draw_pool(rng: np.random.Generator) -> Case:
    rank, average = int(rng.integers(1, 3)), bool(rng.integers(2))
    spatial = ints(rng, 4, 11, rank)
    size = ints(rng, 2, 4, rank)
    windows = tuple(
        adaptive(n, int(rng.integers(1, n + 1)))
        if rng.random() < 0.35
        else regular(
            n,
            k,
            int(rng.integers(1, 4)),
            int(rng.integers(0, k // 2 + 1)),
            ceil=bool(rng.integers(2)),
            count_pad=average,
        )
        for n, k in zip(spatial, size, strict=True)
    )
    divisor = {"divisor": 3} if rng.random() < 0.2 else {}
    batch, channels = ints(rng, 1, 5, 2)
    return {"windows": windows, **divisor}, [(batch, *spatial, channels)], []


def draw_binary(rng: np.random.Generator) -> Case:
    shape = ints(rng, 1, 6, 3)
    other = tuple(n if rng.random() < 0.7 else 1 for n in shape)
    return {}, [shape, other[int(rng.integers(2)) :]], []


def draw_affine(rng: np.random.Generator) -> Case:
    shape, axis = ints(rng, 1, 6, 3), int(rng.integers(3))
    offset = normal(rng, shape[axis]) * np.float32(rng.choice([0.1, 1.0, 50.0]))
    return {"axis": axis}, [shape], [normal(rng, shape[axis]), offset]


def draw_prelu(rng: np.random.Generator) -> Case:
    shape, axis = ints(rng, 1, 6, 3), int(rng.integers(3))
    return {"axis": axis}, [shape], [normal(rng, shape[axis])]


CHAINS = (
    (("affine", 0.5, -0.25),),
    (("clamp", 0.0, math.inf),),
    (("clamp", -0.5, 0.75), ("tanh",)),
    (("leaky_relu", 0.2), ("affine", 2.0, 0.0), ("sigmoid",)),
    (("gelu",), ("square",)),
)


def draw_table(rng: np.random.Generator) -> Case:
    return {"chain": CHAINS[int(rng.integers(len(CHAINS)))]}, [ints(rng, 1, 9, 2)], []


def draw_row(rng: np.random.Generator) -> Case:
    return {"axis": int(rng.integers(3))}, [ints(rng, 1, 9, 3)], []


def draw_argmax(rng: np.random.Generator) -> Case:
    attrs, inputs, _ = draw_row(rng)
    return {**attrs, "keepdim": bool(rng.integers(2))}, inputs, []


def draw_biquads(rng: np.random.Generator) -> Case:
    rows = [[0.4, -0.3, 0.2, 1.0, -1.1, 0.5], [0.5, 0.0, -0.5, 1.0, 0.4, 0.7]]
    sections = np.array(rows[: int(rng.integers(1, 3))], np.float32)
    return {"axis": int(rng.integers(3))}, [ints(rng, 1, 9, 3)], [sections]


def draw_running(rng: np.random.Generator) -> Case:
    attrs = {"share": float(rng.uniform(0.01, 0.25)), "start": float(rng.uniform(0.002, 0.02))}
    return {**attrs, "axis": int(rng.integers(3))}, [ints(rng, 1, 9, 3)], []


def draw_classes(op: str, rng: np.random.Generator) -> Case:
    """Scores of three classes: an argmax makes indices of them."""
    frames, axis = int(rng.integers(2, 4)), int(rng.integers(2))
    attrs = {"axis": axis, "before": int(rng.integers(2)), "blank": 1}
    attrs |= {"frames": frames, "classes": 3} if op == "majority" else {}
    return attrs, [(*ints(rng, 3, 9, 2), 3)], []


def draw_ctc(rng: np.random.Generator) -> Case:
    t, n, c = (int(rng.integers(1, most)) for most in (9, 3, 5))
    return {"blank": int(rng.integers(c))}, [(t, n, c)], []


def draw_reduce(rng: np.random.Generator) -> Case:
    first, count = ints(rng, 0, 1, 2)
    axes = tuple(range(first, first + count + 1))
    return {"axes": axes, "keepdim": bool(rng.integers(2))}, [ints(rng, 1, 7, 3)], []


def draw_reshape(rng: np.random.Generator) -> Case:
    a, b, c = ints(rng, 1, 6, 3)
    return {"shape": (b * c, a)}, [(a, b, c)], []


def draw_transpose(rng: np.random.Generator) -> Case:
    return {"perm": tuple(int(i) for i in rng.permutation(3))}, [ints(rng, 1, 6, 3)], []


def draw_slice(rng: np.random.Generator) -> Case:
    shape = ints(rng, 2, 8, 3)
    cuts = [
        (n - 1, -1, -int(rng.integers(1, 3)))
        if rng.random() < 0.3
        else (int(rng.integers(0, n - 1)), n - int(rng.integers(0, 2)), int(rng.integers(1, 3)))
        for n in shape
    ]
    return {"cuts": tuple(cuts)}, [shape], []


def draw_norm(rng: np.random.Generator, parts: int = 2) -> Case:
    *lead, length = ints(rng, 2, 40, 2)
    return {"eps": 1e-5}, [(*lead, length)], [normal(rng, length) for _ in range(parts)]


def draw_group_norm(rng: np.random.Generator) -> Case:
    groups, each, length = ints(rng, 1, 9, 3)
    attrs = {"axis": 1, "groups": groups, "eps": 1e-5, "centred": bool(rng.integers(2))}
    return attrs, [(2, groups * each, length)], [normal(rng, groups * each) for _ in range(2)]


def draw_magnitude(rng: np.random.Generator) -> Case:
    shape = tuple(ints(rng, 1, 5, 3))
    return {}, [shape, shape], []


def draw_scan(rng: np.random.Generator) -> Case:
    steps, width = ints(rng, 2, 6, 2)
    return {"axis": 1}, [(1, steps, width)] * 2, []


def draw_selective_scan(rng: np.random.Generator) -> Case:
    steps, width, states = ints(rng, 2, 6, 3)
    shapes = [(1, steps, width)] * 2 + [(1, steps, states)] * 2
    return {}, shapes, [-np.abs(normal(rng, width, states)), normal(rng, width)]


def draw_rotary(rng: np.random.Generator) -> Case:
    period, pairs, heads = ints(rng, 1, 5, 3)
    angle = rng.normal(size=(period, pairs))
    tables = [np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)]
    halves = {"halves": True} if rng.random() < 0.5 else {}
    return {"axis": 1, **halves}, [(1, 2 * period, heads, 2 * pairs)], tables


def draw_attention(rng: np.random.Generator) -> Case:
    rows, keys, heads = ints(rng, 2, 9, 3)
    keys = max(rows, keys)
    shapes = [(1, rows, heads, 8), (1, keys, heads, 8), (1, heads, 4, -(-keys // 4) * 4)]
    bias = [(1, heads, rows, keys)][: int(rng.integers(2))]
    window = [None, (2**20, 0), (1, 1)][int(rng.integers(3))]
    if rng.random() < 0.5:  # some keys hidden, never a row's own
        hidden = (rng.random((1, heads, rows, keys)) < 0.3) & ~np.eye(rows, keys, dtype=bool)
        mask = (~hidden).astype(np.float32)
        return {"scale": 0.35, "window": window, "masked": True}, [*shapes, *bias], [mask]
    return {"scale": 0.35, "window": window}, [*shapes, *bias], []


def draw_expand(rng: np.random.Generator) -> Case:
    a, b, c = ints(rng, 1, 6, 3)
    return {"shape": (a, b, c)}, [[(1, b, 1), (b, 1), (1, 1, c)][int(rng.integers(3))]], []


def draw_pad(rng: np.random.Generator) -> Case:
    pads = tuple(ints(rng, 0, 3, 2) for _ in range(3))
    return {"pads": pads, "value": float(rng.normal())}, [ints(rng, 1, 5, 3)], []


def draw_concat(rng: np.random.Generator) -> Case:
    shape, axis = ints(rng, 1, 5, 3), int(rng.integers(3))
    parts = [(*shape[:axis], n, *shape[axis + 1 :]) for n in ints(rng, 1, 4, 3)]
    return {"axis": axis}, parts, []


# Their states are kept in steps of 2**-7 and 2**-11 and to +-16, which floats are not.
NEXT = ("lstm_next", "lstm_next_cell")
RECURRENT = ("lstm", "lstm_cell", "gru", "gru_state", "lstm_start", "gru_start", *NEXT)


def draw_plain(rng: np.random.Generator) -> Case:
    steps, batch, units = ints(rng, 1, 4, 3)
    r = 0.2 / units * normal(rng, units, units)
    attrs = {"reverse": bool(rng.integers(2))}
    return attrs, [(steps, batch, units), (batch, units)], [r.astype(np.float32)]


def draw_recurrent(op: str) -> Draw:
    """Gates come from a layer in front. Weights are small: what is rounded otherwise fades."""
    per_unit = 3 if op.startswith("gru") else 4

    def draw(rng: np.random.Generator) -> Case:
        steps, batch, units = ints(rng, 1, 4, 3)
        columns = per_unit * units
        r = 0.2 / units * normal(rng, columns, units)
        bias = [0.2 * normal(rng, columns)] if op.startswith("gru") else []
        states = [(batch, units)] * (1 if op.startswith("gru") else 2)
        attrs = {"reverse": bool(rng.integers(2))}
        attrs |= {"reset_first": bool(rng.integers(2))} if op.startswith("gru") else {}
        return attrs, [(steps, batch, columns), *states], [r.astype(np.float32), *bias]

    return draw


def draw_spectrogram(rng: np.random.Generator) -> Case:
    lanes, hop = int(rng.integers(1, 4)), int(rng.integers(4, 20))
    window = np.hanning(17)[:-1].astype(np.float32)
    log = (("square",), ("affine", 0.1, 1e-2), ("log10",))
    chain = [log, (), (("abs",), ("pow", 0.5))][int(rng.integers(3))]
    parts = [window, (1 + 0.2 * normal(rng, lanes)).astype(np.float32), normal(rng, lanes)]
    return {"hop": hop, "chain": chain}, [(60, lanes)], parts


def of_use(op: str) -> Draw:
    """As in the operator's own folder; what it reads in int16 is made by a node before it."""

    def draw(rng: np.random.Generator) -> Case:
        use = drawn_uses()[op](Choices(rng))
        return dict(use.attrs), list(use.shapes), [w.astype(np.float32) for w in use.weights]

    return draw


# Of operators whose networks are drawn here; those of others are the uses of their folders.
CASES: Mapping[str, Draw] = {
    **{op: of_use(op) for op in ("gru_start", "lstm_next", "lstm_next_cell", "lstm_start")},
    "add": draw_binary,
    "affine": draw_affine,
    "argmax": draw_argmax,
    "attention": draw_attention,
    "avg_pool": draw_pool,
    "concat": draw_concat,
    "conv": draw_conv,
    "running_norm": draw_running,
    "running_power": draw_running,
    "majority": partial(draw_classes, "majority"),
    "ctc_new": partial(draw_classes, "ctc_new"),
    "biquads": draw_biquads,
    "biquads_past": draw_biquads,
    "ctc_greedy": draw_ctc,
    "expand": draw_expand,
    "gates": draw_linear,
    "gru": draw_recurrent("gru"),
    "gru_state": draw_recurrent("gru_state"),
    "group_norm": draw_group_norm,
    "layer_norm": draw_norm,
    "linear": draw_linear,
    "log_softmax": draw_row,
    "lstm": draw_recurrent("lstm"),
    "lstm_cell": draw_recurrent("lstm_cell"),
    "rnn_relu": draw_plain,
    "rnn_tanh": draw_plain,
    "sums": draw_linear,
    "matmul": draw_matmul,
    "magnitude": draw_magnitude,
    "max_pool": draw_pool,
    "mean": draw_reduce,
    "mul": draw_binary,
    "pad": draw_pad,
    "prelu": draw_prelu,
    "reshape": draw_reshape,
    "rms_norm": lambda rng: draw_norm(rng, 1),
    "rotary": draw_rotary,
    "scan": draw_scan,
    "scan_last": draw_scan,
    "selective_scan": draw_selective_scan,
    "selective_scan_last": draw_selective_scan,
    "slice": draw_slice,
    "softmax": draw_row,
    "spectrogram": draw_spectrogram,
    "sub": draw_binary,
    "sum": draw_reduce,
    "table": draw_table,
    "transpose": draw_transpose,
}
# Inputs that are factors of states: between -1 and 1, as in scan/cases.py. A larger factor makes
# the rounding of a state to 1/128 of a step larger with every step; floats have no such rounding.
# The addends of a last state too, whose step of 1/128 does not follow their range.
DECAYS = {"scan": ("x0",), "scan_last": ("x0", "x1")}
NOT_NEGATIVE = {
    "selective_scan": ("x0",),
    "selective_scan_last": ("x0",),
}  # what decays are exponentials of
ACTS = (
    (),
    (),
    (("clamp", 0.0, math.inf),),
    (("clamp", -0.3, 0.6),),
    (("silu",),),
    (("softplus",),),
)


def one_operator(
    op: str,
    case: Case,
    rng: np.random.Generator,
    act: Any = (),
    int16: frozenset[str] = frozenset(),
) -> Plan:
    """int16   inputs "x0", .., and "y" where they have 16 bits"""
    attrs, shapes, values = case
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)}
    constants = {f"c{i}": value for i, value in enumerate(values)}
    attrs = {**attrs, "act": act} if act and OPS[op].epilogue else attrs
    node = Node(op, (*inputs, *constants), ("y",), attrs, (Origin("body.layer", "net.py:7"),))
    middle, spread = rng.normal(), rng.choice([0.02, 1.0, 30.0])
    spread = 1.0 if op in RECURRENT else spread
    nodes = _with_gates(node, inputs, constants)
    samples = {
        name: (spread * (normal(rng, SAMPLES, *shape) + middle)).astype(np.float32)
        for name, shape in inputs.items()
    }
    samples |= {x: np.tanh(samples[x]) for x in DECAYS.get(op, ())}
    samples |= {x: np.abs(samples[x]) for x in NOT_NEGATIVE.get(op, ())}
    if OPS[op].result.fixed_params:  # states beyond that range would make the layer int16
        samples |= {f"x{i}": np.tanh(samples[f"x{i}"]) for i in OPS[op].operands.first_states}
    return planned(network(nodes, inputs, constants), samples, int16=int16)


def _with_gates(node: Node, inputs: dict[str, Shape], constants: dict[str, Array]) -> list[Node]:
    """Recurrent layers read 16 bits, votes and rows are of indices: what makes them is first."""
    if OPS[node.op].operands.are_indices:
        best = Node("argmax", ("x0",), ("best",), {"axis": 2, "keepdim": False}, node.origin)
        return [best, node.but(inputs=("best",))]
    if node.op not in (*RECURRENT, "rnn_relu", "rnn_tanh"):
        return [node]
    constants["eye"] = np.eye(inputs["x0"][-1], dtype=np.float32)
    before = Node(
        "sums" if node.op.startswith("rnn") else "gates", ("x0", "eye"), ("sums",), {}, node.origin
    )
    if node.op in NEXT:
        added = before.but(inputs=("x1", "eye"), outputs=("added",))
        return [before, added, node.but(inputs=("sums", "added", *node.inputs[2:]))]
    return [before, node.but(inputs=("sums", *node.inputs[1:]))]


STEPS = {
    "attention": 10,  # an exponential is off by 1.3 % of itself, and by 1/510 of the largest
    "running_power": 5,  # half of one for each of nine samples
    "scan_last": 7,  # of six steps: half of one in the addend, half in the product; half at the end
    "selective_scan_last": 7,  # of six steps: half of one in u, half in the state; half at the end
    "biquads_past": 4,  # half of one a section and sample, which rings to 3.75 in these two
}
# Of the value: a share in 15 bits is off by 2**-15 of itself, which a power of nine samples has
# as often as their shares are in 1 - share, up to 9 * 0.25 / 0.75 times.
# So has a selective scan of six steps. Its decays come from a table of 2**13 places for up to 12
# halvings, each off by half a place and half of its last of 15 bits; a place is a product of delta,
# 255 << 8 at most, and a rate that is off by half of 2**-12 places.
HALF_A_PLACE = 0.5 * 12 * math.log(2) * 2.0**-13
DECAY_SHARE = HALF_A_PLACE * (1 + (255 << 8) * 2.0**-12) + 2.0**-16
SHARES = {"running_power": 3 * 2.0**-15, "selective_scan_last": 6 * DECAY_SHARE}


def allowed(table: Array | None) -> int:
    """One step; before a fused table it is one step of the table's input that may differ."""
    return 1 if table is None else max(1, int(np.abs(np.diff(table.astype(int))).max()))


def seeded(op: str, number: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(op.encode()), number])
