# SPDX-License-Identifier: Apache-2.0
"""The formulas of several layers as one: a read of a layer's result is that layer's formula.

For y[k] = sum over c of x[c, k] with x[c, k] = a[c, k] * b[k], both layers are
y[k] = sum over c of a[c, k] * b[k].
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from myoedge.nest.formulas import broadcast_axes, in_axes
from myoedge.nest.ir import (
    Affine,
    Array,
    Axis,
    Call,
    Element,
    Expr,
    Lookup,
    Nest,
    Number,
    Reduced,
    walk,
)
from myoedge.nest.nodes import Scan, Taken, all_axes
from myoedge.nest.rebuild import (
    is_index,
    rebuilt,
    split_sums,
    with_elements,
    with_elements_of,
    with_operands,
)
from myoedge.nest.scan import with_axes
from myoedge.nest.undecided import Undecided
from myoedge.nest.windows import view_of
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.described import nest_constant, numbers_as_data

Index = tuple[Affine, ...]
LIMITS = {"low", "high"}  # of results per channel, which follow from their scale
# Layers whose C another training changes anyway. Pairs, such as a product and a sum of each block
# of a transformer, often share a function: with numbers, one of them took 1 % longer.
OWN_C_FROM = 3


class JointFormula:
    """Results of layers as formulas of the operands of the first layers.

    arrays   the operands, in their order
    values   layer -> axes of its result, and the formula of an element
    names    id of a part -> layer whose result it is
    """

    def __init__(self, step: QuantizedNode) -> None:
        types = [step.read_type(at).dtype.name for at in range(len(step.operands))]
        shapes = zip(types, step.shapes, strict=True)
        self.arrays = tuple(Array(f"x{n}", kind, shape) for n, (kind, shape) in enumerate(shapes))
        self.values: dict[str, tuple[tuple[Axis, ...], Expr]] = {}
        self.names: dict[int, str] = {}
        known = zip(step.operands, self.arrays, strict=True)
        self._operands = {(name, array.shape): array for name, array in known}
        self._added_constants: Collection[str] = ()  # constants of the layer that is added
        self._axes: tuple[Axis, ...] = ()  # of its result
        as_data = any(member.as_data for member in step.members)
        self._has_own_c = len(step.members) >= OWN_C_FROM and not as_data
        self._tables: dict[int, Array] = {}  # arrays with a computed index, by id
        self._varying_constants: dict[Hashable, tuple[Array, Array]] = {}  # the first keeps its id
        self._sliced_arrays: dict[tuple[int, str], tuple[Array, Array]] = {}
        self._elements: dict[tuple[int, Index], Expr] = {}  # each loaded once
        self._moved_parts: dict[tuple[tuple[Axis, ...], Index], dict[int, Expr]] = {}

    def add(self, layer: QuantizedNode) -> bool:
        """Add a layer's result; return whether its description allows that."""
        nest = _description_in_order(layer)
        if nest is None:
            return False
        axes, own = long_axes(nest.out.shape), _map_long_axes(nest)
        names = {id(x): name for x, name in zip(nest.operands, layer.operands, strict=True)}
        self._added_constants, self._axes = _varying_constants(layer), axes
        taken = (x.source.array for x in walk(nest.value) if isinstance(x, Taken))
        self._tables |= {id(x): x for x in taken}
        if not self._can_add_layer(nest, names, own):
            return False
        value = with_elements(
            with_axes(nest.value, own),
            lambda x: self._read_layer(names.get(id(x.array), ""), in_axes(x, own)),
        )
        value = split_sums(value, self._element_at)
        if layer.table is not None:
            value = Lookup(nest_constant("table", layer.table), value - INT8.low)
        value = self._substitute_tables(value)
        self.values[layer.node.name] = axes, value
        self.names[id(value)] = layer.node.name
        return True

    def _can_add_layer(
        self, nest: Nest, names: Mapping[int, str], own: Mapping[Axis, Axis]
    ) -> bool:
        """Return whether all that a description reads can be read; elements at computed indices are
        those of operands."""
        if any(names.get(array) in self.values for array in self._tables):
            return False
        parts = [in_axes(x, own) for x in walk(nest.value) if isinstance(x, Element)]
        return all(
            self._can_read_at(names.get(id(x.array), ""), _index_of_long_axes(x)) for x in parts
        )

    def _can_read_at(self, name: str, index: Index) -> bool:
        """Return whether a layer's result can be read at an index; one that sums is read at its own
        place, so that its axes stay."""
        if name not in self.values:
            return True
        axes, value = self.values[name]
        is_own = index == tuple(axis.at for axis in axes)
        sums = any(isinstance(x, Reduced | Scan) for x in walk(value))
        return len(index) == len(axes) and (is_own or not sums)

    def _read_layer(self, name: str, part: Element) -> Expr:
        if not name and id(part.array) not in self._tables:
            return self._read_constant(part)
        if not name:
            return self._element_at(part.array, part.index)
        if name not in self.values:
            return self._element_at(self._operands[name, part.array.shape], part.index)
        axes, value = self.values[name]
        index = _index_of_long_axes(part)
        if index == tuple(axis.at for axis in axes):
            return value
        moved = self._index_formula(value, axes, index)
        self.names[id(moved)] = name
        return moved

    def _read_constant(self, part: Element) -> Expr:
        """Return an element of a constant: its number if all iterations and trainings read the
        same."""
        array, axes = part.array, [axis for i in part.index for axis, _ in i.terms]
        read = view_of(array.known, part.index, axes)
        is_number = read.min() == read.max()
        # In sums, rows are multiplied by rows.
        is_own = is_number and self._has_own_c and {*axes} <= {*self._axes}
        if array.varies or (array.name in self._added_constants and not is_own):
            return self._varying_element(part)
        return Number(int(read.flat[0])) if is_number else part

    def _varying_element(self, part: Element) -> Element:
        """Return an element of a constant that varies between trainings, without the dimensions of
        which one index is read."""
        array = part.array
        index = tuple(i if i.terms else Affine() for i in part.index)
        spans = tuple(
            slice(i.const, i.const + 1) if not i.terms else slice(None) for i in part.index
        )
        values = np.ascontiguousarray(array.known[spans])
        varying = replace(array, values=values, shape=values.shape)
        return Element(self._varying_part(array, varying), index)

    def _varying_part(self, array: Array, part: Array) -> Array:
        """Return a part of a constant as one that varies between trainings, the same one each
        time; where another training changes the C anyway, the same one for equal values."""
        content = (part.dtype, part.shape, part.known.tobytes()) if self._has_own_c else id(array)
        return self._varying_constants.setdefault(content, (array, replace(part, varies=True)))[1]

    def _substitute_tables(self, value: Expr) -> Expr:
        """Return a formula whose tables vary between trainings."""

        def change(part: Expr, made: Mapping[int, Expr]) -> Expr:
            own = with_operands(part, made)
            if isinstance(own, Lookup) and own.array.name in self._added_constants:
                return replace(own, array=self._varying_part(own.array, own.array))
            if isinstance(own, Call) and own.table and own.table.name in self._added_constants:
                return replace(own, table=self._varying_part(own.table, own.table))
            return own

        return rebuilt(value, change=change)[id(value)]

    def _index_formula(self, value: Expr, axes: tuple[Axis, ...], index: Index) -> Expr:
        """Return a formula at an index instead of the axes of its layer; parts that several
        formulas have in common stay one part."""
        place = dict(zip(axes, index, strict=True))

        def moved(i: Affine) -> Affine:
            return sum((place[axis] * step for axis, step in i.terms), Affine(const=i.const))

        def load(part: Element) -> Expr:
            return self._element_at(part.array, tuple(map(moved, part.index)))

        made = self._moved_parts.setdefault((axes, index), {})
        return with_elements_of([value], load, made)[id(value)]

    def _element_at(self, array: Array, index: Index) -> Expr:
        """Return an element, the same one each time; of a constant, from the part that iterations
        read."""
        spans = tuple(slice(i.low, i.high + 1) for i in index)
        shape = tuple(span.stop - span.start for span in spans)
        is_part = shape != array.shape and id(array) not in self._tables
        if array.values is not None and is_part and not is_index(array):
            values = np.ascontiguousarray(array.values[spans])
            cut = array, replace(array, values=values, shape=shape)
            array = self._sliced_arrays.setdefault((id(array), str(spans)), cut)[1]
            index = tuple(i + -i.low for i in index)
        return self._elements.setdefault((id(array), index), Element(array, index))


def long_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return one axis per dimension of more than one element."""
    return broadcast_axes([n for n in shape if n != 1])


def _map_long_axes(nest: Nest) -> dict[Axis, Axis]:
    """Return axis -> the axis in its place without axes of one element; reduced axes stay."""
    long = (axis for axis in nest.axes if axis.extent > 1)
    over = all_axes(nest)[len(nest.axes) :]
    return dict(zip(long, long_axes(nest.out.shape), strict=True)) | {axis: axis for axis in over}


def _index_of_long_axes(part: Element) -> Index:
    """Return the index along the dimensions of more than one element."""
    return tuple(i for i, n in zip(part.index, part.array.shape, strict=True) if n != 1)


def _varying_constants(layer: QuantizedNode) -> Collection[str]:
    """Return the names of a layer's constants that another training may change: those that follow
    from weights, or all of them."""
    if layer.as_data:
        return {x.name for x in fields(layer.integers)} | LIMITS
    return OPS[layer.node.op].constants.learnt.ranges.keys() | LIMITS


def _description_in_order(layer: QuantizedNode) -> Nest | None:
    """Return the description of a layer that computes the elements of its result in order; None
    without one."""
    meaning = OPS[layer.node.op].meaning
    if meaning is None or layer.behind or layer.members:
        return None
    try:
        nest = meaning(numbers_as_data(layer))
    except Undecided:  # it depends on the layer's numbers: another training has other C
        nest = meaning(replace(layer, as_data=False))
    extents = tuple(axis.extent for axis in nest.axes)
    in_order = nest.at == tuple(axis.at for axis in nest.axes) and extents == nest.out.shape
    return nest if in_order else None
