# SPDX-License-Identifier: Apache-2.0
"""Cases of the dense kernels: operands, what must come out, and how host and chip run them."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.emit.project import runtime
from myoedge.emit.render import template_dir
from myoedge.firmware import Firmware, check_instructions, link
from myoedge.fixedpoint import choose_requant, lookup
from myoedge.ir import Array, Node
from myoedge.library import load_library
from myoedge.op import OPS, Integers, Step
from myoedge.ops.packing import packed_channels, packed_weights, up
from myoedge.simulator.machine import simulate
from myoedge.target.gap9_cycles import GAP9_CYCLES
from tests.guard import fenced

KERNELS = ("me_conv_run", "me_linear_run", "me_matmul_run")
POINTERS = ("table", "x", "weights", "channels", "y", "scratch", "padded", "a", "b")
HEADER_WORDS = 24
ARENA, ARENA_BYTES = "me_arena", 114688
LIBRARY = ("me_scale.h", "me_dense.h", "me_dense.c", "me_dense_block.h", "me_dense_block.c")

Fields = Mapping[str, int | str | None]  # of a C struct in its order: a number, or whose address


@dataclass(frozen=True)
class Case:
    """One call of a kernel.

    op, tile   its two structs: numbers, or names of operands
    operands   what is read, by name       shift   bytes that an operand lies behind a multiple of 4
    expected   every byte of y afterwards, gaps included (they hold GAP)
    scratch, padded   bytes of them, undefined afterwards
    """

    name: str
    kernel: str
    op: Fields
    tile: Fields
    operands: Mapping[str, Array]
    expected: Array
    scratch: int
    padded: int
    macs: int
    shift: Mapping[str, int] = field(default_factory=dict)


GAP = 0x5B


@dataclass(frozen=True)
class Asked:
    """A convolution. 1-D ones have height 1, linear layers are kernels of 1x1 over one column."""

    h: int
    w: int
    c: int
    k: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    row_gap: int = 0  # bytes between rows of x
    y_gap: int = 0  # bytes between pixels of y
    low: int = -128
    high: int = 127
    table: bool = False
    shift: tuple[int, int] = (0, 0)  # of x and y
    linear: bool = False
    padded: bool = False  # there is room for x with its padding
    together: bool = False  # windows are gathered once, by all cores
    seed: int = 0

    @property
    def in_place(self) -> bool:
        """Whether every row is read where it lies."""
        places = (self.c, self.w * self.c + self.row_gap, self.shift[0])
        return self.linear and all(place % 4 == 0 for place in places)

    @property
    def narrow(self) -> bool:
        """Whether rows of the kernel are filled to words: three taps each."""
        three = self.kernel[1] * self.c == 3 and self.kernel[0] > 1
        return self.padded and three and self.dilation[1] == 1


def _drawn(rng: np.random.Generator, *shape: int) -> Array:
    """int8, with many extremes."""
    values = rng.integers(-128, 128, shape)
    extreme = rng.choice([-128, 127], shape)
    return np.where(rng.random(shape) < 0.1, extreme, values).astype(np.int8)


def _table(rng: np.random.Generator, wanted: bool) -> Array | None:
    return _drawn(rng, 256) if wanted else None


def _scale(pre: int, low: int, high: int, table: Array | None) -> dict[str, int | str | None]:
    return {"pre": pre, "low": low, "high": high, "table": None if table is None else "table"}


def _spread(rows: Array, gap: int) -> Array:
    """Rows with `gap` bytes between them, none behind the last."""
    wide = np.full((rows.shape[0], rows.shape[1] + gap), GAP, np.int8)
    wide[:, : rows.shape[1]] = rows
    return wide.reshape(-1)[: wide.size - gap]


def _after(y: Array, table: Array | None) -> Array:
    return y if table is None else lookup(y, table)


def scratch_bytes(taps: int) -> int:
    """me_dense_scratch of me_dense.h."""
    return 8 * 4 * min(8, max(1, 512 // up(taps))) * 4 * (up(taps) // 4 | 1)


def gathered_bytes(a: Asked, taps: int, windows: int) -> int:
    """What a tile's scratch has to hold."""
    if a.together:
        return windows * 4 * (up(taps) // 4 | 1)
    return 0 if a.in_place else scratch_bytes(taps)


def padded_bytes(a: Asked, out: tuple[int, ...]) -> int:
    """me_conv_padded of me_dense.h; 0 where it is not wanted."""
    sizes = zip(out[1:3], a.kernel, a.stride, a.dilation, strict=True)
    rows, columns = ((n - 1) * s + (k - 1) * d + 1 for n, k, s, d in sizes)
    return up(rows * columns * a.c) + 4 if a.padded else 0


def packed(a: Asked, weight: Array) -> Array:
    """Of rows of three taps, each with a zero behind it."""
    if not a.narrow:
        return packed_weights(weight)
    rows = weight.reshape(a.k, a.kernel[0], 3)
    return packed_weights(np.pad(rows, ((0, 0), (0, 0), (0, 1))))


def conv_case(asked: Asked) -> Case:
    """Weights and data drawn, the multipliers chosen so that outputs fill their range."""
    a, rng = asked, np.random.default_rng(asked.seed)
    x, weight = _drawn(rng, 1, a.h, a.w, a.c), _drawn(rng, a.k, *a.kernel, a.c)
    bias = rng.integers(-(2**15), 2**15, a.k)
    zero, taps = int(rng.integers(-128, 128)), weight[0].size
    bound = np.abs(bias) + 128 * np.abs(weight.reshape(a.k, -1).astype(np.int64)).sum(axis=1)
    real = rng.uniform(0.2, 2.0, a.k) * 60.0 / (74.0 * 74.0 * np.sqrt(taps))
    r = choose_requant(real, bound, int(rng.integers(-40, 40)))
    attrs = {"stride": a.stride, "dilation": a.dilation, "pads": a.pads, "groups": 1}
    out = OPS["conv"].shape(attrs, x.shape, weight.shape)
    scalars = {"x_zero": zero, "pre": r.pre}
    arrays = {"weight": weight, "bias": bias.astype(np.int32)}
    arrays |= {"mult": r.mult, "offset": r.offset, "shift": r.shift}
    node = Node("conv", ("x", "w"), ("y",), attrs)
    step = Step(node, ("x",), (x.shape,), out, Integers(scalars, arrays), a.low, a.high)
    table = _table(rng, a.table)
    y = _after(OPS["conv"].integer(step, x), table).reshape(-1, a.k)
    operands = {
        "x": _spread(x.reshape(a.h, -1), a.row_gap),
        "weights": packed(a, weight),
        "channels": packed_channels(step),
        **({} if table is None else {"table": table}),
    }
    sizes = {"x": "x", "rows": a.h, "x_stride": a.w * a.c + a.row_gap}
    op: Fields = {"c": a.c, **_scale(r.pre, a.low, a.high, table)}
    ends: Fields = {"k": a.k, "y_stride": a.k + a.y_gap, "scratch": "scratch"}
    operands_of = {"weights": "weights", "channels": "channels", "y": "y"}
    tile: Fields = {**sizes, **operands_of, **ends}
    if not a.linear:
        shape = (*a.kernel, *a.stride, *a.dilation, zero)
        names = ("k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "x_zero")
        op = {
            "c": a.c,
            **dict(zip(names, shape, strict=True)),
            **_scale(r.pre, a.low, a.high, table),
        }
        region = {"x": "x", "h": a.h, "w": a.w, "pad_top": a.pads[0][0], "pad_left": a.pads[1][0]}
        region["row_stride"] = sizes["x_stride"]
        tile = {**region, **operands_of, "oh": out[1], "ow": out[2], **ends}
        op, tile = (
            {**op, "narrow": int(a.narrow), "together": int(a.together)},
            {**tile, "padded": "padded" if a.padded else None},
        )
    return Case(
        str(asked),
        KERNELS[int(a.linear)],
        op,
        tile,
        operands,
        _spread(y, a.y_gap),
        gathered_bytes(a, taps, out[1] * out[2]),
        padded_bytes(a, out),
        out[1] * out[2] * a.k * taps,
        {"x": a.shift[0], "y": a.shift[1]},
    )


def matmul_case(
    m: int,
    c: int,
    n: int,
    *,
    turned: bool = False,
    zeros: tuple[int, int] = (3, -5),
    gaps: tuple[int, int, int] = (0, 0, 0),
    limits: tuple[int, int] = (-128, 127),
    table: bool = False,
    shift: tuple[int, int, int] = (0, 0, 0),
    seed: int = 0,
) -> Case:
    """a [m, c] times b [c, n]; gaps and shift of a, b and y."""
    rng = np.random.default_rng(seed)
    a, b = _drawn(rng, m, c), _drawn(rng, c, n)
    reach = [max(127 - z, z + 128) for z in zeros]
    real = [60.0 / (74.0 * 74.0 * np.sqrt(c))]
    r = choose_requant(real, [c * reach[0] * reach[1]], int(rng.integers(-40, 40)))
    one = {"mult": int(r.mult[0]), "offset": int(r.offset[0]), "shift": int(r.shift[0])}
    scalars = {"a_zero": zeros[0], "b_zero": zeros[1], "pre": r.pre, **one}
    node = Node("matmul", ("a", "b"), ("y",), {})
    shapes = (a.shape, b.shape)
    step = Step(node, ("a", "b"), shapes, (m, n), Integers(scalars), *limits)
    looked = _table(rng, table)
    y = _after(OPS["matmul"].integer(step, a, b), looked)
    lies = np.ascontiguousarray(b.T) if turned else b
    operands = {"a": _spread(a, gaps[0]), "b": _spread(lies, gaps[1])}
    operands |= {} if looked is None else {"table": looked}
    op: Fields = {"c": c, "a_zero": zeros[0], "b_zero": zeros[1], "turned": int(turned), **one}
    strides = {"a_stride": c + gaps[0], "b_stride": lies.shape[1] + gaps[1], "y": "y"}
    tile: Fields = {"a": "a", "b": "b", "m": m, "n": n, **strides}
    return Case(
        f"matmul {m}x{c}x{n} turned={turned} {zeros} {gaps} {limits} {shift} {seed}",
        KERNELS[2],
        {**op, **_scale(r.pre, *limits, looked)},
        {**tile, "y_stride": n + gaps[2], "scratch": "scratch"},
        operands,
        _spread(y, gaps[2]),
        n * (up(c) + 16) + scratch_bytes(c),
        0,
        m * c * n,
        dict(zip("aby", shift, strict=True)),
    )


# ---- on this machine


class Scale(ctypes.Structure):
    """me_scale"""

    _fields_ = (
        ("pre", ctypes.c_int32),
        ("low", ctypes.c_int32),
        ("high", ctypes.c_int32),
        ("table", ctypes.c_void_p),
    )


SCALE = tuple(name for name, _ in Scale._fields_)


def _struct(fields: Fields, addresses: Mapping[str, int]) -> ctypes.Structure:
    """The C struct of these fields, those of me_scale in a struct of their own."""
    values = {n: addresses[v] if isinstance(v, str) else v for n, v in fields.items()}
    kinds: dict[str, Any] = {}
    for name in fields:
        if name in SCALE:
            kinds["scale"] = Scale
        else:
            kinds[name] = ctypes.c_void_p if name in POINTERS else ctypes.c_int32
    if "scale" in kinds:
        values["scale"] = Scale(*(values[n] for n in SCALE))
    kind = type("Fields", (ctypes.Structure,), {"_fields_": list(kinds.items())})
    return kind(*(values[name] for name in kinds))


@functools.cache
def host_library(optimize: str = "-O1") -> ctypes.CDLL:
    """The kernels with UBSan, compiled once."""
    from myoedge import tool
    from myoedge.library import How

    with tool.scratch() as folder:
        names = [template_dir() / "library" / name for name in LIBRARY]
        for file in (*names, *sorted((template_dir() / "include").iterdir())):
            shutil.copy(file, folder / file.name)
        library = load_library(folder, sanitize=("undefined",), how=How(optimize))
    return library.handle


def run_on_host(case: Case) -> Array:
    """y, all operands between guard pages and read-only, at both ends of their pages."""
    results = [_run_fenced(case, at, canary) for at, canary in (("end", 0xA5), ("start", 0x33))]
    assert results[0].tobytes() == results[1].tobytes(), case.name
    return results[0]


def _run_fenced(case: Case, at: str, canary: int) -> Array:
    given = {
        n: fenced(_shifted(v, case.shift.get(n, 0)), at, canary, writable=False)
        for n, v in case.operands.items()
    }
    y = fenced(
        np.full(case.expected.size + case.shift.get("y", 0), GAP, np.int8),
        at,
        canary,
        writable=True,
    )
    scratch = fenced(np.full(case.scratch, GAP, np.int8), at, canary, writable=True)
    padded = fenced(np.full(case.padded, GAP, np.int8), at, canary, writable=True)
    kept = {**given, "y": y, "scratch": scratch, "padded": padded}
    addresses = {name: f.address + case.shift.get(name, 0) for name, f in kept.items()}
    run = getattr(host_library(), case.kernel)
    run.restype = None
    op, tile = (_struct(fields, addresses) for fields in (case.op, case.tile))
    run(ctypes.byref(op), ctypes.byref(tile))
    for name, f in kept.items():
        assert f.intact, f"{case.name}: bytes beside {name} were written"
    return y.array[case.shift.get("y", 0) :].copy()


def _shifted(values: Array, by: int) -> Array:
    flat = values.reshape(-1).view(np.int8)
    return np.concatenate([np.full(by, GAP, np.int8), flat])


# ---- on the chip


@functools.cache
def firmware() -> Firmware:
    """programs/dense.c with the kernels on the runtime."""
    folder = template_dir()
    files = {path.name: path.read_text() for path in sorted((folder / "include").iterdir())}
    for name in (*LIBRARY, "me_dense_block.S"):
        files[name] = (folder / "library" / name).read_text()
    source = (Path(__file__).parent / "programs" / "dense.c").read_text()
    made = link({**files, **runtime(), "dense.c": source})
    check_instructions(made)
    return made


@dataclass(frozen=True)
class Ran:
    """y, and the cycles of a run with cold and of one with warm instruction caches."""

    y: Array
    cold: int
    warm: int


def _image(case: Case) -> tuple[Array, dict[str, int]]:
    """L1 with the operands in it, and where they are."""
    at, places, parts = 0, {}, []
    sizes = {**case.operands, "y": case.expected, "scratch": np.empty(case.scratch, np.int8)}
    sizes["padded"] = np.empty(case.padded, np.int8)
    for name, values in sizes.items():
        start = up(at) + 8 + case.shift.get(name, 0)
        parts.append((start, values if name in case.operands else None))
        places[name] = start
        at = start + values.nbytes
    image = np.full(up(at) + 16, GAP, np.int8)
    assert image.size <= ARENA_BYTES, case.name
    for start, values in parts:
        if values is not None:
            image[start : start + values.nbytes] = values.reshape(-1).view(np.int8)
    return image, places


def _words(fields: Fields, places: Mapping[str, int], base: int) -> bytes:
    values = [base + places[v] if isinstance(v, str) else v or 0 for v in fields.values()]
    padded = [*values, *([0] * (HEADER_WORDS - len(values)))]
    return struct.pack(f"<{HEADER_WORDS}i", *padded)


def run_on_chip(
    cases: Sequence[Case], folder: Path, runs: int = 1, costs: Mapping[str, int] = GAP9_CYCLES
) -> list[Ran]:
    """Checks as well that nothing but y and scratch has changed."""
    base = firmware().program.symbols[ARENA]
    images = [_image(case) for case in cases]
    with (folder / "cases.bin").open("wb") as file:
        for case, (image, places) in zip(cases, images, strict=True):
            file.write(struct.pack("<3i", KERNELS.index(case.kernel), runs, image.size))
            file.write(_words(case.op, places, base) + _words(case.tile, places, base))
            file.write(image.tobytes())
    run = simulate(firmware().program, folder=folder, cycles=costs)
    assert run.exit_code == 0, run.output
    data, results = (folder / "results.bin").read_bytes(), []
    for case, (image, places) in zip(cases, images, strict=True):
        cold, warm = struct.unpack("<2I", data[:8])
        after = np.frombuffer(data[8 : 8 + image.size], np.int8)
        data = data[8 + image.size :]
        results.append(Ran(_checked(case, image, after, places), cold, warm))
    assert not data
    return results


def _checked(case: Case, image: Array, after: Array, places: Mapping[str, int]) -> Array:
    same = after == image
    y = slice(places["y"], places["y"] + case.expected.size)
    same[y] = True
    for name, size in (("scratch", case.scratch), ("padded", case.padded)):
        same[places[name] : places[name] + size] = True
    assert same.all(), f"{case.name}: byte {np.argmin(same)} of L1 was written, {places}"
    return after[y]


def in_child(action: Callable[[], None], told: Path) -> str:
    """What went wrong in a process of its own: a fault is its status, not the end of this one."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException as error:
            told.write_text(f"{told.read_text() if told.exists() else ''}: {error}")
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return f"status {status:#x}, {told.read_text()}" if status else ""
