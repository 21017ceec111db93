# SPDX-License-Identifier: Apache-2.0
"""One C function per step: what its template sees."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from myoedge.emit.render import C_TYPES, render
from myoedge.ir import Array, Shape
from myoedge.op import OPS, Step, strides
from myoedge.ops.layout import strided
from myoedge.ops.pool import divisors
from myoedge.ops.reduce import split
from myoedge.plan.schedule import Plan


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a strided kernel: its extent and what one step adds to every operand's index."""

    extent: int
    steps: tuple[int, ...]


def function_name(index: int, step: Step) -> str:
    return f"l{index:02d}_{step.node.op}"


def kernel(plan: Plan, index: int, step: Step) -> str:
    """The C function of a step, its header line included."""
    name = function_name(index, step)
    values = {
        "step": step,
        "op": step.node.op,
        "attrs": step.attrs,
        "fn": name,
        "x": step.shapes,
        "y": step.out,
        "low": step.low,
        "high": step.high,
        "table": step.table is not None,
        "types": [C_TYPES[plan.quant.dtype(n)] for n in step.operands],
        "out_type": C_TYPES[plan.quant.dtype(step.node.name)],
        "heading": heading(step),
        **step.integers.scalars,
        **_derived(step),
    }
    return render(f"kernels/{OPS[step.node.op].template}", values)


def heading(step: Step) -> str:
    """One line for people: operator, shapes, module path, source."""
    reads = ", ".join(_dims(shape) for shape in step.shapes)
    return comment(f"{step.node.op} {reads} -> {_dims(step.out)}  {step.node.where}")


def comment(text: str) -> str:
    """Text from a user's program for a C comment: one line, nothing that ends or continues it."""
    clean = re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /").replace("??", "? ?")
    return clean.rstrip("\\ ")


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def arrays(index: int, step: Step) -> dict[str, Array]:
    """The constant arrays of a step under their C names."""
    name = function_name(index, step)
    return {f"{name}_{key}": value for key, value in sorted(step.integers.arrays.items())}


def _derived(step: Step) -> Mapping[str, Any]:
    make = _DERIVED.get(step.node.op)
    return {} if make is None else make(step)


def _conv(step: Step) -> dict[str, Any]:
    """Two spatial axes always: a convolution over one is a convolution over rows of height 1."""
    rank = len(step.out) - 2
    lead = (1,) * (2 - rank)
    attrs, weight, x = step.attrs, step["weight"], step.shapes[0]
    return {
        "n": x[0],
        "h_in": (*lead, *x[1:-1])[0],
        "w_in": (*lead, *x[1:-1])[1],
        "h_out": (*lead, *step.out[1:-1])[0],
        "w_out": (*lead, *step.out[1:-1])[1],
        "kernel": (*lead, *weight.shape[1:-1]),
        "stride": (*lead, *attrs["stride"]),
        "dilation": (*lead, *attrs["dilation"]),
        "pads": (*(((0, 0),) * len(lead)), *attrs["pads"]),
        "groups": attrs["groups"],
        "c_in": x[-1],
        "c_group": weight.shape[-1],
        "k_out": weight.shape[0],
        "k_group": weight.shape[0] // attrs["groups"],
    }


def _linear(step: Step) -> dict[str, Any]:
    return {"rows": math.prod(step.out[:-1]), "c_in": step.shapes[0][-1], "k_out": step.out[-1]}


def _matmul(step: Step) -> dict[str, Any]:
    a, b = step.shapes
    batch = step.out[:-2]
    loops = merged(batch, [_broadcast(s[:-2], batch, s[-2] * s[-1]) for s in (a, b)])
    return {"loops": loops, "rows": a[-2], "c_in": a[-1], "k_out": b[-1]}


def _broadcast(shape: Shape, out: Shape, unit: int = 1) -> tuple[int, ...]:
    """Elements that one step of every output axis moves in an operand; 0 where it is repeated."""
    lead = len(out) - len(shape)
    own = [0 if n == 1 else s * unit for n, s in zip(shape, strides(shape), strict=True)]
    return (0,) * lead + tuple(own)


def merged(out: Shape, operands: Sequence[Sequence[int]]) -> tuple[Loop, ...]:
    """As few loops as possible: neighbours are joined where all operands step alike."""
    loops: list[Loop] = []
    for axis, extent in enumerate(out):
        steps = tuple(operand[axis] for operand in operands)
        if extent == 1:
            continue
        if loops and all(o == i * extent for o, i in zip(loops[-1].steps, steps, strict=True)):
            loops[-1] = Loop(loops[-1].extent * extent, steps)
        else:
            loops.append(Loop(extent, steps))
    return tuple(loops) or (Loop(1, (0,) * len(operands)),)


def _binary(step: Step) -> dict[str, Any]:
    return {"loops": merged(step.out, [_broadcast(shape, step.out) for shape in step.shapes])}


def _channels(step: Step) -> dict[str, Any]:
    axis = step.attrs["axis"] % len(step.out)
    return {
        "outer": math.prod(step.out[:axis]),
        "channels": step.out[axis],
        "inner": math.prod(step.out[axis + 1 :]),
    }


def _rows(step: Step) -> dict[str, Any]:
    x, axis = step.shapes[0], step.attrs["axis"]
    return {"outer": math.prod(x[:axis]), "length": x[axis], "inner": math.prod(x[axis + 1 :])}


def _pool(step: Step) -> dict[str, Any]:
    """Windows of two spatial axes, and which multiplier every pair of them takes."""
    windows = step.attrs["windows"]
    lead = (((0, 1, 1),),) * (2 - len(windows))
    both: tuple[Any, ...] = (*lead, *windows)
    rows, columns = both
    x = step.shapes[0]
    every = divisors(step.attrs)
    fixed = step.attrs.get("divisor")
    classes = [[every.index(fixed or r[2] * c[2]) for c in columns] for r in rows]
    spatial = (*((1,) * len(lead)), *x[1:-1])
    return {
        "n": x[0],
        "h_in": spatial[0],
        "w_in": spatial[1],
        "channels": x[-1],
        "windows_h": rows,
        "windows_w": columns,
        "classes": classes,
        "uniform": len(every) == 1,
    }


def _reduce(step: Step) -> dict[str, Any]:
    outer, reduced, inner = split(step.attrs, step.shapes[0])
    return {"outer": outer, "reduced": reduced, "inner": inner}


def _strided(step: Step) -> dict[str, Any]:
    first, steps = strided(step.node.op, step.attrs, step.shapes[0])
    return {"first": first, "loops": merged(step.out, [steps])}


def _pad(step: Step) -> dict[str, Any]:
    x, pads = step.shapes[0], step.attrs["pads"]
    out = strides(step.out)
    first = sum(before * s for (before, _), s in zip(pads, out, strict=True))
    return {"first": first, "loops": merged(x, [strides(x), out])}


def _concat(step: Step) -> dict[str, Any]:
    axis = step.attrs["axis"]
    return {
        "outer": math.prod(step.out[:axis]),
        "runs": [math.prod(shape[axis:]) for shape in step.shapes],
    }


_DERIVED = {
    "conv": _conv,
    "linear": _linear,
    "matmul": _matmul,
    "add": _binary,
    "sub": _binary,
    "mul": _binary,
    "affine": _channels,
    "prelu": _channels,
    "softmax": _rows,
    "log_softmax": _rows,
    "argmax": _rows,
    "max_pool": _pool,
    "avg_pool": _pool,
    "mean": _reduce,
    "sum": _reduce,
    "transpose": _strided,
    "slice": _strided,
    "expand": _strided,
    "pad": _pad,
    "concat": _concat,
}
