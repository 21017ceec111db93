# SPDX-License-Identifier: Apache-2.0
"""Import of complex numbers: constructors, accessors and arithmetic; selections between complex
tensors and writes into them, as products with constant masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, weights
from myoedge.operators.import_rows import Arguments, ImportRow, Row, aten_names, first
from myoedge.operators.library.arithmetic import number_of
from myoedge.operators.library.complex_numbers import (
    Complex,
    added,
    angle_of,
    conjugate,
    constant_of,
    magnitude_of,
    multiplied,
    of_both,
    on_parts,
    pair_of,
    paired,
    product_of,
    stacked,
    sum_of,
    tensor,
    unstacked,
)
from myoedge.operators.library.conditions import logical_not, truth
from myoedge.operators.library.import_moves import fill

PARTS_MOST = 8  # largest exponent of a power that is expanded to products


def view_as_complex(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    return unstacked(b, first(a))


def view_as_real(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    return stacked(b, pair_of(b, a["self"]), out)


def real(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    return tensor(b, pair_of(b, a["self"]).real, out)


def imaginary(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    return tensor(b, pair_of(b, a["self"]).imaginary, out)


def angle(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    x = pair_of(b, a["self"])
    return angle_of(b, tensor(b, x.imaginary, out), tensor(b, x.real, out))


def turned(b: GraphBuilder, length: str, angle: str, out: Shape) -> Complex:
    """Return the complex tensor length * exp(i * angle).

    length   magnitudes, broadcast; "" for 1
    angle    in radians
    """
    waves = (b.add("table", angle, chain=((name,),)) for name in ("cos", "sin"))
    return paired(multiplied(b, length, wave, out) if length else wave for wave in waves)


def exponential(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    x = pair_of(b, a["self"])
    length = b.add("table", str(x.real), chain=(("exp",),)) if x.real != "" else ""
    return turned(b, length, tensor(b, x.imaginary, out), out)


def quotient(b: GraphBuilder, x: Complex, y: Complex, a: Arguments, out: Shape) -> Complex:
    """Return x / y = x * conj(y) / |y|^2."""
    if y.imaginary == "":
        return product_of(b, x, Complex(_complex_reciprocal(b, y.real)), out)
    if all(isinstance(part, str) and part not in b.constants for part in y.parts):
        shape = b.shape(str(y.real))
        inverse = b.add("table", magnitude_of(b, y, shape), chain=(("pow", -2.0),))
        return product_of(b, product_of(b, x, conjugate(b, y), out), Complex(inverse), out)
    real, imaginary = (constant_of(b, part) for part in y.parts)
    if real is None or imaginary is None:
        raise Unsupported("division by complex numbers of which one part is constant")
    inverted = np.asarray(1.0 / (real + 1j * imaginary))
    parts = (b.constant(p) if p.shape else float(p) for p in (inverted.real, inverted.imag))
    return product_of(b, x, paired(parts), out)


def _complex_reciprocal(b: GraphBuilder, x: Any) -> Any:
    if (number := number_of(b, x)) is not None:
        return 1.0 / number
    if x in b.constants:
        return b.constant(1.0 / b.array(x))
    return b.add("table", x, chain=(("reciprocal",),))


def power(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    """Import a power of a complex tensor with an integer exponent, as repeated products."""
    x, exponent = pair_of(b, a["self"]), a.get("exponent", 2)
    if not isinstance(exponent, int | float) or exponent not in range(1, PARTS_MOST + 1):
        raise Unsupported(f"a power {exponent} of complex numbers")
    y = x
    for _ in range(int(exponent) - 1):
        y = product_of(b, y, x, out)
    return y


def product(b: GraphBuilder, x: Complex, y: Complex, a: Arguments, out: Shape) -> Complex:
    return product_of(b, x, y, out)


def matrix_product(row: Row) -> Row:
    """Return a function that imports a matrix product with one or two complex operands.

    row   import function of the real product
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
        left = pair_of(b, a["self"])
        name = next(n for n in ("other", "mat2", "vec", "tensor") if n in a)
        right = pair_of(b, a[name])

        def both(x: Any, y: Any) -> Any:
            return "" if "" in (x, y) else row(b, {"self": x, name: y}, out)

        (p, q), (r, s) = left.parts, right.parts
        return Complex(
            added(b, both(p, r), both(q, s), -1.0, out), added(b, both(p, s), both(q, r), 1.0, out)
        )

    return pair_row


# Calls that are imported for the real and the imaginary part separately.
def filled(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    """Import calls that fill a complex tensor with one number (fill, zeros_like and similar)."""
    pair = pair_of(b, a.get("value", a.get("fill_value", 0.0)))
    real, imaginary = (fill(b, {"value": part or 0.0}, out) for part in pair.parts)
    return Complex(real, imaginary if pair.imaginary != "" else "")


def chosen(b: GraphBuilder, condition: str, x: Any, y: Any, out: Shape) -> Complex:
    """Import where(condition, x, y) of complex tensors, as condition * x + (1 - condition) * y."""
    holds = truth(b, condition)
    fails = (
        b.constant(1.0 - b.array(holds))
        if holds in b.constants
        else str(logical_not(b, {"self": holds}, out))
    )
    sides = [(pair_of(b, x), holds), (pair_of(b, y), fails)]
    kept = [
        product_of(b, z, Complex(mask), out) for z, mask in sides if not _is_zero_constant(b, z)
    ]
    if len(kept) == 2:
        return sum_of(b, kept[0], kept[1], 1.0, out)
    return kept[0] if kept else filled(b, {}, out)


def _is_zero_constant(b: GraphBuilder, x: Complex) -> bool:
    values = [constant_of(b, part) for part in x.parts]
    return all(value is not None and not value.any() for value in values)


def where(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    return chosen(b, a["condition"], a["self"], a["other"], out)


def masked_fill(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    return chosen(b, a["mask"], a["value"], a["self"], out)


def _apply_to_parts(row: Row, b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
    made: Complex = on_parts(row)(b, a, out)
    return made


def index_put(row: Row) -> Row:
    """Return a function that imports a write into a complex tensor at constant indices or a
    constant mask.

    row   import function of the same write for real tensors
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
        if a["accumulate"] or not _is_uniform_constant(b, a["values"]):
            return _apply_to_parts(row, b, a, out)
        where = tuple(slice(None) if x is None else weights(b, x, "an index") for x in a["indices"])
        number = _uniform_value(b, a["values"])
        return chosen(b, _mask_of_places(b, out, where), number, a["self"], out)

    return pair_row


def _mask_of_places(b: GraphBuilder, out: Shape, where: tuple[Any, ...]) -> str:
    """Add a constant mask with ones at an index and zeros elsewhere; axes along which it is
    constant have extent 1."""
    mask = np.zeros(out, np.float32)
    mask[where] = 1.0
    for axis in range(mask.ndim):
        first = mask.take([0], axis)
        mask = first if (mask == first).all() else mask
    return b.constant(mask)


def _is_uniform_constant(b: GraphBuilder, value: Any) -> bool:
    """Return whether a value is constant with equal elements."""
    parts = [constant_of(b, part) for part in pair_of(b, value).parts]
    return all(part is not None and (part == part.reshape(-1)[0]).all() for part in parts)


def scattered(row: Row) -> Row:
    """Return a function that imports a write into a slice of a complex tensor: by a mask if the
    written values are constant, otherwise separately for real and imaginary part.

    row   import function of the same write for real tensors
    """

    def pair_row(b: GraphBuilder, a: Arguments, out: Shape) -> Complex:
        if not _is_uniform_constant(b, a["src"]):
            return _apply_to_parts(row, b, a, out)
        axis = a["dim"] % len(out)
        place = a["index"] if "index" in a else slice(a["start"], a["end"], a["step"])
        mask = _mask_of_places(b, out, (*[slice(None)] * axis, place))
        return chosen(b, mask, _uniform_value(b, a["src"]), a["self"], out)

    return pair_row


def _uniform_value(b: GraphBuilder, value: Any) -> complex:
    """Return the value of a constant whose elements are all equal."""
    real, imaginary = (constant_of(b, part) for part in pair_of(b, value).parts)
    assert real is not None
    assert imaginary is not None
    return complex(float(real.reshape(-1)[0]), float(imaginary.reshape(-1)[0]))


LINEAR = (
    "reshape view _unsafe_view flatten.using_ints unflatten.int squeeze ravel squeeze.dim "
    "squeeze.dims unsqueeze view_as reshape_as view_copy permute numpy_T transpose.int t mT "
    "swapaxes swapdims movedim.int movedim.intlist moveaxis.int moveaxis.intlist slice.Tensor "
    "narrow select.int split.Tensor split.sizes split.default split_with_sizes chunk "
    "tensor_split.sections tensor_split.indices unbind.int index.Tensor index_select flip cat "
    "concat concatenate stack roll expand expand_as broadcast_to repeat tile "
    "repeat_interleave.self_int alias clone contiguous detach detach_ dropout lift_fresh_copy "
    "to.dtype to.dtype_layout to.device type_as _to_copy resolve_conj resolve_neg neg negative "
    "mean mean.dim sum sum.dim_IntList cumsum fft_fftshift fft_ifftshift pad constant_pad_nd copy"
)
# Calls whose import functions take real and complex tensors.
READ = (
    "view_as_real real imag _conj conj conj_physical angle fft_fft fft_ifft fft_irfft fft_fft2 "
    "fft_ifft2 fft_irfft2 fft_fftn fft_ifftn fft_irfftn istft"
)


def sums(sign: float, *, backwards: bool = False) -> Row:
    def row(b: GraphBuilder, x: Complex, y: Complex, a: Arguments, out: Shape) -> Complex:
        alpha = sign * float(a.get("alpha", 1.0))
        return sum_of(b, y, x, alpha, out) if backwards else sum_of(b, x, y, alpha, out)

    return of_both(row)


SHARED: Mapping[str, Row] = {
    "add.Tensor add.Scalar": sums(1.0),
    "sub.Tensor subtract.Tensor sub.Scalar": sums(-1.0),
    "rsub.Tensor rsub.Scalar": sums(-1.0, backwards=True),
    "mul.Tensor multiply.Tensor mul.Scalar": of_both(product),
    "div.Tensor div.Scalar divide.Tensor true_divide.Tensor": of_both(quotient),
    "abs absolute": lambda b, a, out: magnitude_of(b, pair_of(b, a["self"]), out),
    "exp": exponential,
    "square pow.Tensor_Scalar": power,
    "fill.Scalar fill.Tensor zeros_like new_zeros full_like new_full": filled,
    "where.self where.ScalarSelf where.ScalarOther where.Scalar": where,
    "masked_fill.Scalar masked_fill.Tensor": masked_fill,
}


def pair_rows(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return ATen call -> function that imports it for complex tensors.

    rows   import functions of the same calls for real tensors
    """
    shared = {name: row for text, row in SHARED.items() for name in aten_names(text)}
    products = {name: matrix_product(rows[name]) for name in aten_names("matmul mm bmm mv")}
    linear = {name: on_parts(rows[name]) for name in aten_names(LINEAR) if name in rows}
    written = {"slice_scatter select_scatter": scattered, "index_put": index_put}
    writing = {
        name: write(rows[name]) for text, write in written.items() for name in aten_names(text)
    }
    read = {name: rows[name] for name in aten_names(READ)}
    return {**read, **linear, **shared, **products, **writing}


def length(b: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import sqrt(x^2 + y^2) of two real tensors (hypot)."""
    return magnitude_of(b, Complex(a["self"], a["other"]), out)


ROWS = (
    ImportRow("slice", view_as_complex, "view_as_complex"),
    ImportRow("concat", view_as_real, "view_as_real"),
    ImportRow("", real, "real"),
    ImportRow("", imaginary, "imag"),
    ImportRow("", lambda b, a, out: Complex(a["real"], a["imag"]), "complex"),
    ImportRow(
        "table", lambda b, a, out: conjugate(b, pair_of(b, a["self"])), "_conj conj conj_physical"
    ),
    ImportRow("mul", lambda b, a, out: turned(b, a["abs"], a["angle"], out), "polar"),
    ImportRow("atan2", angle, "angle"),
    ImportRow("magnitude", length, "hypot"),
)
