# SPDX-License-Identifier: Apache-2.0
"""C of a description that carries values along an axis: the innermost loop, which steps through
arrays in any order of memory; the cores share the rows.

The loop for y[c, k] = the sum of x[c, j] over j <= k, limited to int8:

    int32_t s0 = 0;
    for (int32_t left = tile->extent[1]; left > 0; left--) {
        const int32_t v0 = me_next_b(&x0);
        const int32_t v1 = s0 + v0;
        me_put_b(&y, me_clips(v1, 8));
        s0 = v1;
    }
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from myoedge.nest.c import LOOP_CYCLES, UNNAMED
from myoedge.nest.c_arrays import ALL_TYPES, put
from myoedge.nest.c_cycles import code_operations, iteration_cycles
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.c_header import CKernel, TileStruct, header, named_tables, result_names
from myoedge.nest.c_scan_arrays import ScanArray
from myoedge.nest.flat import FlatNest
from myoedge.nest.formula_parts import FormulaParts
from myoedge.nest.intervals import Interval, intervals, is_long, of_all_trainings
from myoedge.nest.ir import Binary, Call, Expr, Number, Reduced
from myoedge.nest.nodes import Assumed, Carried, Scan


def scan_kernel(flat: FlatNest, labels: Mapping[int, str]) -> CKernel:
    """Return the C function of a description with a scan. Arguments and names as of c_kernel."""
    body = _ScanFunctionBody(flat, labels)
    text = body.source(UNNAMED) + header(body.tile(UNNAMED))
    name = f"me_chain_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    files = {f"{name}.h": header(body.tile(name)), f"{name}.c": body.source(name)}
    pointers = tuple(array.name for array in body.arrays)
    loop = body.iteration
    cycles = LOOP_CYCLES + iteration_cycles(loop)
    return CKernel(
        name,
        files,
        pointers,
        body.steps,
        body.results,
        body.tables,
        cycles,
        row_cycles=0.0,
        code=code_operations(loop),
    )


class LongText(FormulaText):
    """The C of formulas whose values have 32 or 64 bits, by their ranges."""

    def _is_long(self, part: Expr) -> bool:
        return is_long(self.parts.types[id(part)])

    def number_c_type(self, part: Expr) -> str:
        return value_type(self.parts.types[id(part)])

    def _binary_text(self, part: Binary) -> str:
        is_short = not any(map(self._is_long, (part, *part.operands)))
        if is_short or part.operation.startswith("int32 "):
            return super()._binary_text(part)
        text = self._int64_text(part)
        return (
            text if self._is_long(part) or part.operation in ("<", "==") else f"((int32_t){text})"
        )

    def _limit_text(self, part: Binary) -> str:
        inner = (x for operand in part.operands for x in operand.operands)
        if any(map(self._is_long, inner)):
            return f"me_{part.operation}({self.bare(part.left)}, {self.bare(part.right)})"
        return super()._limit_text(part)

    def _int64_text(self, part: Binary) -> str:
        """Return an operation of 64 bits."""
        match part:
            case Binary(">>" | "long >>", left, Number(bits)) if 0 < bits < 32:
                return f"me_long_shifted({self.bare(left)}, {bits})"
            case Binary("<<", left, Number(bits)):
                return f"((int64_t){self.of(left)} * {1 << bits})"
        a, b = map(self.of, part.operands)
        if part.operation in LONG_FUNCTIONS:
            return (
                f"{LONG_FUNCTIONS[part.operation]}({self.bare(part.left)}, {self.bare(part.right)})"
            )
        sign = part.operation.removeprefix("long ")
        if any(map(self._is_long, part.operands)):
            return f"({a} {sign} {b})"
        return f"((int64_t){a} {sign} {b})"


class ScanText(LongText):
    """The C of formulas in an iteration of a scan, whose carried values are variables."""

    def _part_text(self, part: Expr) -> str:
        match part:
            case Scan():
                return self.of(part.value)
            case Assumed():
                text = self.of(part.value)
                is_cast = self._is_long(part.value) and not self._is_long(part)
                return f"((int32_t){text})" if is_cast else text
        return super()._part_text(part)

    def variable(self, part: Expr) -> str:
        """Write a value as a variable of this iteration; return its name."""
        text = self.of(part)
        return text if text[1:].isdigit() and text[0] == "v" else self._add_variable(part, text)


class _ScanFunctionBody:
    """The texts of a function."""

    def __init__(self, flat: FlatNest, labels: Mapping[int, str]) -> None:
        self.flat, parts = flat, flat.nest.parts
        self.arrays = tuple(ScanArray(f"x{n}", flat, n) for n in range(len(flat.reads)))
        self.results = result_names(len(flat.nest.results))
        self.carried = _carried_values(parts)
        self.states = {id(state): f"s{n}" for n, (state, _, _) in enumerate(self.carried)}
        self.lasts = [part for part in parts if isinstance(part, Reduced)]
        self.steps = {array.name: array.tile_steps for array in self.arrays}
        self.steps["y"] = tuple(
            at for at, loop in enumerate(self.flat.loops) if loop.steps[len(self.arrays)]
        )
        self.tables = named_tables(parts)
        self.formula = FormulaParts(
            tuple(value for _, value in flat.nest.results),
            labels,
            {id(array): name for name, array in self.tables.items()},
            of_all_trainings(flat.nest),
            (),
            len(flat.reads),
            intervals(flat.nest),
        )

    def tile(self, name: str) -> TileStruct:
        """Return what the header declares for a function of this name."""
        return TileStruct(name, self.flat, self.arrays, self.results, self.tables, self.steps)

    def source(self, name: str) -> str:
        calls = {part.primitive.header for part in self.flat.nest.parts if isinstance(part, Call)}
        includes = sorted({*calls, LONG_HEADER, "me_math.h", "me_share.h"})
        lines = [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            f'#include "{name}.h"',
            "",
            *(f'#include "{path}"' for path in includes),
            "",
            f"void {name}(const {name}_params *op, const {name}_tile *tile)",
            "{",
            *(f"    {line}" for line in self._function_statements()),
            "}",
            "",
        ]
        return "\n".join(lines)

    def _function_statements(self) -> Iterator[str]:
        for name, array in self.tables.items():
            yield f"const {ALL_TYPES[array.dtype]} *const {name} = op->{name};"
        if not self.tables:
            yield "(void)op;"
        yield from (line for array in self.arrays for line in array.step_variables)
        if not self._has_dense_results:
            yield f"const int32_t y_step = tile->y_step[{len(self.steps['y']) - 1}];"
        *outer, steps = range(len(self.flat.loops))
        rows = " * ".join(f"tile->extent[{at}]" for at in outer)
        yield f"const int32_t count = tile->extent[{steps}], rows = {rows};"
        yield "for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {"
        yield from (f"    {line}" for line in self._scan_iterations())
        yield "}"

    # --- a row

    def _scan_iterations(self) -> Iterator[str]:
        """Yield the iterations along the axis, with what comes before and after them."""
        yield from self._outer_iterations()
        yield from (line for array in self.arrays for line in array.row_variables)
        start = self._result_start()
        if self._writes_every_iteration:
            for name, (array, _) in zip(self.results, self.flat.nest.results, strict=True):
                kind = "int8_t" if self._has_dense_results else ALL_TYPES[array.dtype]
                yield f"{kind} *{name} = ({kind} *)(tile->{name}{start});"
        before = ScanText(self.formula, self._row_values, "h")
        for state, first, _ in self.carried:
            text = before.bare(first)
            yield from before.lines
            before.lines.clear()
            yield f"{value_type(state.limits)} {self.states[id(state)]} = {_cast(text, state)};"
        for part, name in self._final_value_names.items():
            yield f"{value_type(self.formula.types[part])} {name} = 0;"
        yield "for (int32_t left = count; left > 0; left--) {"
        yield from (f"    {line}" for line in self.iteration)
        yield "}"
        yield from self._final_stores(start)

    def _outer_iterations(self) -> Iterator[str]:
        """Yield the iterations of the loops around, from the number of a row."""
        outer = range(len(self.flat.loops) - 1)
        inside = list[str]()
        for at in reversed(outer):
            part = (
                f" / ({' * '.join(inside)})"
                if len(inside) > 1
                else "".join(f" / {x}" for x in inside)
            )
            around = f" % tile->extent[{at}]" if at > 0 else ""
            if any(at in steps for steps in self.steps.values()):
                yield f"const int32_t i{at} = row{part}{around};"
            inside.insert(0, f"tile->extent[{at}]")

    @cached_property
    def _row_values(self) -> dict[int, str]:
        """Id of an element that a row has in common -> C of its value."""
        return {at: text for array in self.arrays for at, text in array.row_values.items()}

    @cached_property
    def iteration(self) -> list[str]:
        """Statements of an iteration."""
        text = ScanText(self.formula, self._loads, "v")
        stores = list[str]()
        if self._writes_every_iteration:
            stores = [
                *self._result_stores([text.bare(value) for _, value in self.flat.nest.results])
            ]
        stores += [f"{name} = {text.bare(part.value)};" for part, name in self._final_values]
        updates = [(state, text.variable(after)) for state, _, after in self.carried]
        stores += [f"{self.states[id(state)]} = {_cast(x, state)};" for state, x in updates]
        loads = [line for array in self.arrays for line in array.loads]
        moved = [line for array in self.arrays for line in array.moved]
        return [*loads, *text.lines, *stores, *moved]

    @property
    def _loads(self) -> dict[int, str]:
        """Id of an element or a carried value -> C of its value in an iteration."""
        own = {at: text for x in self.arrays for at, text in x.iteration_values.items()}
        return self._row_values | self.states | own

    # --- results

    @property
    def _writes_every_iteration(self) -> bool:
        """Whether each iteration writes results."""
        return not self.lasts

    @property
    def _has_dense_results(self) -> bool:
        """Whether results of an iteration lie behind those of the one before, or there are none."""
        return self.flat.loops[-1].steps[len(self.arrays)] in (0, 1)

    def _result_start(self) -> str:
        outer = [at for at in self.steps["y"] if at < len(self.flat.loops) - 1]
        return "".join(f" + i{at} * tile->y_step[{n}]" for n, at in enumerate(outer))

    def _result_stores(self, values: Sequence[str]) -> Iterator[str]:
        rows = zip(self.results, self.flat.nest.results, values, strict=True)
        for name, (array, _), value in rows:
            if self._has_dense_results:
                yield put(array.dtype, name, value)
            else:
                yield f"*{name} = ({ALL_TYPES[array.dtype]})({value});"
                yield f"{name} += y_step;"

    @cached_property
    def _final_values(self) -> list[tuple[Reduced, str]]:
        """Values of the last iteration that no carried value is, with their variables."""
        known = {id(after) for _, _, after in self.carried}
        others = [part for part in self.lasts if id(_last_iteration_value(part)) not in known]
        return [(part, f"l{n}") for n, part in enumerate(others)]

    @property
    def _final_value_names(self) -> dict[int, str]:
        return {id(part): name for part, name in self._final_values}

    def _final_stores(self, start: str) -> Iterator[str]:
        """Yield the stores of results that only the last iteration has."""
        if self._writes_every_iteration:
            return
        names = dict[int, str]()
        for state, _, after in self.carried:  # of the type of its formula
            name, kind = self.states[id(state)], value_type(self.formula.types[id(after)])
            names[id(after)] = name if kind == value_type(state.limits) else f"(({kind}){name})"
        loads = {
            id(part): names.get(id(_last_iteration_value(part)), "") for part in self.lasts
        } | self._final_value_names
        text = ScanText(self.formula, self._row_values | loads, "e")
        values = [text.bare(value) for _, value in self.flat.nest.results]
        yield from text.lines
        for name, (array, _), value in zip(
            self.results, self.flat.nest.results, values, strict=True
        ):
            yield f"*(tile->{name}{start}) = ({ALL_TYPES[array.dtype]})({value});"


def _carried_values(parts: Sequence[Expr]) -> list[tuple[Carried, Expr, Expr]]:
    """Return the carried values of formulas, each with its start and its next value."""
    scans = (part for part in parts if isinstance(part, Scan))
    rows = (x for scan in scans for x in zip(scan.states, scan.starts, scan.nexts, strict=True))
    found = {id(x): (x, first, after) for x, first, after in rows if isinstance(x, Carried)}
    return [*found.values()]  # once, of scans that share them


def _last_iteration_value(part: Reduced) -> Expr:
    """Return the formula of a reduction, or of the scan that it reads, in the last iteration."""
    return part.value.value if isinstance(part.value, Scan) else part.value


def _cast(text: str, state: Carried) -> str:
    return f"({value_type(state.limits)})({text})"


LONG_HEADER = "me_long.h"
LONG_FUNCTIONS = {"max": "me_long_max", "min": "me_long_min"}


def value_type(limits: Interval) -> str:
    """Return the C type of a variable."""
    return "int64_t" if is_long(limits) else "int32_t"
