# SPDX-License-Identifier: Apache-2.0
"""C of a formula: short expressions, and variables for values that are used twice or long.

For clip((a * 12 + b * 3 + 77) >> 5, -128, 127), whose rounding constant p.macsRN adds itself:

    me_clips(me_macsRN(me_mac(61, v0, 12), v1, 3, 5), 8)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from myoedge.nest.c_arrays import CRow
from myoedge.nest.c_reduced import write_loop
from myoedge.nest.c_rows import write_row
from myoedge.nest.formula_parts import FormulaParts, bare, shifted
from myoedge.nest.ir import Binary, Call, Element, Expr, Lookup, Number, Reduced, Where
from myoedge.nest.nodes import Assumed, CallResult, Taken, has_results

FUNCTIONS = {"//": "me_quotient", "%": "me_remainder"}
ENTRIES = {"int8": "me_at_b", "uint8": "me_at_bu"}  # of tables
TEXT_LENGTH = 60  # a longer expression gets a variable
INT32_MAX, HALF_MAX = 2**31 - 1, 2**15 - 1


class FormulaText:
    """The C of formulas.

    lines    definitions of variables, in order
    named    id of a part -> its variable, of parts that `name` wrote
    held     parts that have a text, so that no other part gets the id of one
    """

    def __init__(
        self,
        parts: FormulaParts,
        loads: Mapping[int, str],
        prefix: str,
        sums: Sequence[Reduced] = (),
        rows: Mapping[int, CRow] | None = None,
    ) -> None:
        """Write the formulas.

        loads    id of an element -> C of its value
        prefix   of the names of other variables: v5, v6, ...
        sums     reductions that may be written in one loop
        rows     id of an element that a reduction reads -> its array along the axis
        """
        self.parts, self.texts, self.lines = parts, dict(loads), list[str]()
        self.sums, self.rows, self.open = sums, rows or {}, list[int]()
        self.prefix, self.count = prefix, parts.arrays
        self.named: dict[int, str] = {}
        self.held: list[Expr] = []

    def results(self) -> list[str]:
        """Return the expressions of the formulas' values; adds variables to `lines`."""
        return [self.bare(value) for value in self.parts.values]

    def name(self, part: Expr) -> None:
        """Write a part as a variable."""
        text = self.of(part)
        if " " in text or "(" in text:
            text = self.texts[id(part)] = self._add_variable(part, text)
        self.named[id(part)] = text

    def of(self, part: Expr) -> str:
        """Return a C expression for a value: a name, a number, a call, or text in parentheses; adds
        variables to `lines`."""
        if id(part) not in self.texts:
            is_read = isinstance(part, Assumed) and isinstance(part.value, Element)
            self.texts[id(part)] = self._part_text(part) if is_read else self._name_text(part)
            self.held.append(part)
        return self.texts[id(part)]

    def bare(self, part: Expr) -> str:
        return bare(self.of(part))

    def _name_text(self, part: Expr) -> str:
        text = self._part_text(part)
        label = self.parts.labels.get(id(part), "")
        again = self.parts.uses[id(part)] > 1 and not isinstance(part, Number)
        waits = isinstance(part, Lookup) and part not in self.parts.values  # for memory
        is_named = again or waits or label or len(text) > TEXT_LENGTH or has_results(part)
        return self._add_variable(part, text) if is_named else text

    def _add_variable(self, part: Expr, text: str) -> str:
        """Add a variable with a value to `lines`; return its name."""
        label, name = self.parts.labels.get(id(part), ""), self.next_name()
        comment = f" /* {label} */" if label else ""
        kind = self.number_c_type(part)
        if isinstance(part, Call) and part.primitive.results:
            kind = part.primitive.c_type
        self.lines.append(f"const {kind} {name} = {bare(text)};{comment}")
        return name

    def number_c_type(self, part: Expr) -> str:
        """Return the C type of a value that is one number."""
        return "int32_t"

    def next_name(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count - 1}"

    def _part_text(self, part: Expr) -> str:
        match part:
            case Number(value):
                return str(value) if value >= 0 else f"({value})"
            case Lookup():
                return self._table_entry_text(part, self.parts.tables[id(part.array)])
            case Taken():
                return self.rows[id(part.element)].taken(self.of(part.at))
            case Call():
                table = [self.parts.tables[id(part.table)]] if part.table else []
                texts = (*table, *map(self.bare, part.values))
                return f"{part.primitive.name}({', '.join(texts)})"
            case Where():
                return self._choice_text(part)
            case Binary():
                return self._binary_text(part)
            case Reduced() | CallResult() | Assumed():
                return self._nested_text(part)
        raise TypeError(part)

    def _choice_text(self, part: Where) -> str:
        condition, then, otherwise = map(self.of, part.operands)
        known = condition if isinstance(part.condition, Where) else bare(condition)
        return f"({known} ? {then} : {otherwise})"

    def _table_entry_text(self, part: Lookup, table: str) -> str:
        match part.at:
            case Binary("-", at, Number(-128)) if (kind := part.array.dtype) in ENTRIES:
                return f"{ENTRIES[kind]}({table} + 128, {self.bare(at)})"
            case Assumed(Binary("-", most, x)) if part.array.dtype == "uint16":
                return f"me_below({table}, {self.bare(most)}, {self.bare(x)})"
        return f"{table}[{self.bare(part.at)}]"

    # --- sums over an axis

    def _nested_text(self, part: Reduced | CallResult | Assumed) -> str:
        if isinstance(part, Assumed):
            return self.of(part.value)
        if isinstance(part, CallResult):
            return f"{self.of(part.call)}.{part.name}"
        return ("" if self.open else write_row(self, part)) or write_loop(self, part)

    def inside(self, axis: int) -> FormulaText:
        """Return the text of an iteration over a reduced axis, by number."""
        found = type(self)(self.parts, self.texts, self.prefix, self.sums, self.rows)
        found.count, found.open = self.count, [*self.open, axis]
        return found

    def _binary_text(self, part: Binary) -> str:
        match part:
            case Binary("max" | "min"):
                return self._limit_text(part)
            case Binary("<<", left, Number(bits)):  # C leaves shifts of negative numbers undefined
                return f"({self.of(left)} * {1 << bits})"
            case Binary(">>" | "long >>", Binary("+") as left, Number(bits)) if (
                bits and self.is_own(left)
            ):
                return self._sum_text(left, bits)
            case Binary("+"):
                return self._sum_text(part, 0)
            case Binary("int32 +", Binary("int32 *") as left, right) if self.is_own(left):
                return f"me_mac({', '.join(map(self.bare, (right, *left.operands)))})"
            case Binary("-", left, Number(value)) if value <= 0:
                return f"({self.of(left)} + {-value})" if value else self.of(left)
        return self._plain_binary_text(part)

    def _plain_binary_text(self, part: Binary) -> str:
        a, b = map(self.of, part.operands)
        match part:
            case Binary("%", _, Number(divisor)) if divisor & (divisor - 1) == 0:
                return f"({a} & {divisor - 1})"
        if part.operation in FUNCTIONS:
            return f"{FUNCTIONS[part.operation]}({bare(a)}, {bare(b)})"
        if part.operation.startswith("int32 "):
            return f"((int32_t)((uint32_t){a} {part.operation[-1]} (uint32_t){b}))"
        return f"({a} {part.operation.removeprefix('long ')} {b})"  # inside int32

    def is_own(self, part: Expr) -> bool:
        """Return whether a part has no variable of its own: one use, no label, not written yet."""
        is_named = id(part) in self.parts.labels or self.texts.get(id(part), "").isidentifier()
        return self.parts.uses[id(part)] == 1 and not is_named

    def _sum_text(self, part: Binary, shift: int) -> str:
        """Return a sum, shifted to the right: products are added by one instruction each, and the
        last one may include the shift."""
        number, products, others = self._split_terms([*self._flatten_terms(part)])
        halves = [x for x in products if shift and all(map(self._is_int16, x.operands))]
        half = 1 << shift >> 1 if halves else 0
        if not products or not self._sum_fits_int32([*products, *others], number, half):
            return shifted(
                self._add_product(self.of(part.left), part.right)
                if self._is_product(part.right)
                else f"({self.of(part.left)} + {self.of(part.right)})",
                shift,
            )
        last = halves[-1] if halves else None
        return self._joined_text(number - half, others, products, last, shift)

    def _joined_text(
        self,
        number: int,
        others: Sequence[Expr],
        products: Sequence[Expr],
        last: Expr | None,
        shift: int,
    ) -> str:
        """Return the sum of a number, other terms and products, shifted; the instruction that adds
        the product `last`, if there is one, rounds and shifts."""
        added = [self.of(x) for x in others] + [str(number)] * bool(number or not others)
        text = " + ".join(added).replace("+ -", "- ")
        for product in [x for x in products if x is not last]:
            text = self._add_product(text, product)
        if last is None:
            return shifted(text, shift)
        factors = ", ".join(map(self.bare, last.operands))
        if text == "0":
            return f"me_mulsRN({factors}, {shift})"
        return f"me_macsRN({text}, {factors}, {shift})"

    def _split_terms(self, terms: Sequence[Expr]) -> tuple[int, list[Expr], list[Expr]]:
        """Return the terms of a sum: the sum of its numbers, its products, and the others."""
        numbers = [term.value for term in terms if isinstance(term, Number)]
        products = [term for term in terms if self._is_product(term)]
        others = [x for x in terms if not isinstance(x, Number) and x not in products]
        return sum(numbers), products, others

    def _sum_fits_int32(self, parts: Sequence[Expr], number: int, half: int) -> bool:
        """Return whether a sum of parts, a number and half of a rounded unit stays inside int32 in
        any order. A description's sum of two terms does."""
        is_pair = not half and len(parts) + bool(number) <= 2
        largest = sum(max(map(abs, self.parts.ranges[id(part)])) for part in parts)
        return is_pair or abs(number) + half + largest <= INT32_MAX

    def _is_product(self, part: Expr) -> bool:
        return isinstance(part, Binary) and part.operation == "*" and self.is_own(part)

    def _add_product(self, text: str, product: Expr) -> str:
        if text == "0":
            return self.of(product)
        return f"me_mac({text}, {', '.join(map(self.bare, product.operands))})"

    def _flatten_terms(self, part: Expr) -> Iterator[Expr]:
        """Yield the terms of a sum of sums."""
        for operand in part.operands:
            if isinstance(operand, Binary) and operand.operation == "+" and self.is_own(operand):
                yield from self._flatten_terms(operand)
            else:
                yield operand

    def _is_int16(self, part: Expr) -> bool:
        low, high = self.parts.ranges[id(part)]
        return low >= -HALF_MAX - 1 and high <= HALF_MAX

    def _limit_text(self, part: Binary) -> str:
        """Return a limit; both limits of a type are one instruction."""
        match part:
            case Binary("min", Binary("max", value, Number(low)) as inner, Number(high)):
                is_type = low == -high - 1 and high & (high + 1) == 0
                if is_type and self.is_own(inner):
                    return f"me_clips({self.bare(value)}, {high.bit_length() + 1})"
            case Binary(operation, value, Number(limit)):
                bits = (limit if operation == "min" else -limit - 1).bit_length()
                low, high = self.parts.ranges[id(value)]
                reaches = high if operation == "max" else -low - 1
                if limit in (-1 << bits, (1 << bits) - 1) and reaches < 1 << bits:
                    return f"me_clips({self.bare(value)}, {bits + 1})"
        return f"me_{part.operation}({self.bare(part.left)}, {self.bare(part.right)})"
