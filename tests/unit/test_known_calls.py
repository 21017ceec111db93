# SPDX-License-Identifier: Apache-2.0
"""Every call that is read without torch, with operands of all element types and other numbers: what
the table gives is what torch gives, and it leaves the rest to torch."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.known_calls import KnownCall, empty
from myoedge.frontend.torch.program import TYPES, NeedsTorch
from myoedge.frontend.torch.program_file import KNOWN, read_program
from tests.unit.test_program_file import (
    Mixed,
    arguments_for,
    arrays,
    edited,
    given_to,
    overload,
    saved,
)

pytestmark = pytest.mark.filterwarnings("ignore")

LEFT_TO_TORCH = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
REFUSALS = (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError)  # of torch
ELEMENTS = tuple(getattr(torch, name) for name in TYPES.values())
LARGE = 1 << 40
NUMBERS = (-1, 0, 300, 1 << 33, 2.5, 1e39)  # some of which types do not hold
UNREAD = ("device", "layout", "memory_format", "pin_memory")  # which torch may crash on
MOST_BYTES = 1 << 20  # that a function of results may take
MOST_ELEMENTS = 1 << 16  # of results whose values are compared
GROUPS = 16


def with_types(value: Any, kind: torch.dtype, *, first: bool) -> Any:
    """Arguments with all tensors, or the first one alone, of another element type."""
    left = [1 if first else 1 << 30]

    def change(item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            left[0] -= 1
            return item.to(kind) if left[0] >= 0 else item
        return [*map(change, item)] if isinstance(item, list) else item

    return tuple(map(change, value))


def other_numbers(value: Any) -> Iterator[Any]:
    """Other values in place of a number, of each number of a list, and lists of other lengths."""
    if isinstance(value, bool):
        yield from (not value, 1, 0)
    elif isinstance(value, int | float):
        changed = (-1, -2, 0, 1, 2, 3, 7, -LARGE, LARGE, value + 1, -value)
        yield from (*changed, float(value), value + 0.5, float("inf"), float("nan"), True)
    elif isinstance(value, list) and value and not isinstance(value[0], torch.Tensor):
        for at, item in enumerate(value):
            yield from ([*value[:at], x, *value[at + 1 :]] for x in other_numbers(item))
        yield from (value[:-1], [*value, value[-1]], value[::-1], value[0])
    elif value is None:
        yield from (0, 1, -1, 0.5, 2)
    elif isinstance(value, str):
        yield from ("none", "tanh", "same", "valid", "reflect")
    elif isinstance(value, torch.dtype):
        yield from ELEMENTS


def cases(name: str) -> Iterator[tuple[Any, ...]]:
    """Arguments of a call: those of its test, of other types, and with other numbers."""
    base = arguments_for(name)
    defaults = [*KNOWN[name].defaults.values()]
    yield base
    for first in (False, True):
        yield from (with_types(base, kind, first=first) for kind in ELEMENTS)
    whole = (*base, *defaults[len(base) :])
    for at, value in enumerate(whole):
        if [*KNOWN[name].defaults][at] in UNREAD:
            continue
        for other in other_numbers(value):
            yield (*whole[:at], other, *whole[at + 1 :])[: max(len(base), at + 1)]
    numbers = [i for i, x in enumerate(base) if isinstance(x, int | float)]
    for kind in ELEMENTS:
        for at in numbers:
            changed = with_types(base, kind, first=False)
            yield from ((*changed[:at], x, *changed[at + 1 :]) for x in NUMBERS)


def meta_of(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    return [*map(meta_of, value)] if isinstance(value, list) else value


def described(results: Any) -> list[tuple[str, tuple[int, ...]]]:
    several = results if isinstance(results, list | tuple) else [results]
    return [(str(x.dtype).removeprefix("torch."), tuple(x.shape)) for x in several]


def by_torch(name: str, arguments: Any, **more: Any) -> Any:
    """The results of torch; arguments that it takes by keyword alone are given so."""
    schema = overload(name)._schema.arguments
    pairs = [*zip(schema, arguments, strict=False)]
    by_name = {at.name: value for at, value in pairs if at.kwarg_only}
    with torch.no_grad():
        return overload(name)(
            *(value for at, value in pairs if not at.kwarg_only), **by_name, **more
        )


def types_by_torch(name: str, arguments: Any) -> Any:
    """Types and shapes of torch's results; None if torch refuses the call."""
    defaults = [*KNOWN[name].defaults]
    is_new = "device" in defaults and defaults.index("device") >= len(arguments)
    try:
        more = {"device": "meta"} if is_new else {}
        return described(by_torch(name, [*map(meta_of, arguments)], **more))
    except REFUSALS:
        return None


def types_by_table(call: KnownCall, arguments: Any) -> Any:
    """Types and shapes of the table's results; None if it leaves the call to torch."""
    dummies = arrays(arguments, lambda x: empty(x.shape, str(x.dtype)[6:]))
    try:
        return described(call.results(given_to(call, dummies)))
    except LEFT_TO_TORCH:
        return None


def values_by_table(call: KnownCall, arguments: Any) -> Any:
    if call.values is None:
        return None
    try:
        made = call.values(given_to(call, arrays(arguments, lambda x: x.numpy())))
    except LEFT_TO_TORCH:
        return None
    return made if isinstance(made, tuple) else (made,)


def differences(name: str, arguments: Any) -> Iterator[str]:
    """Yield what the table says otherwise than torch."""
    call, text = KNOWN[name], f"{name} {shown(arguments)}"
    found = types_by_table(call, arguments)
    if found is None:
        return
    wanted = types_by_torch(name, arguments)
    if found != wanted:
        yield f"{text}: {found}, of torch {wanted}"
    elif sum(np.prod(shape) for _, shape in found) <= MOST_ELEMENTS:
        made = values_by_table(call, arguments)
        if made is not None:
            yield from other_values(text, made, functools.partial(by_torch, name, arguments))


def other_values(text: str, made: Any, run: Any) -> Iterator[str]:
    try:
        results = run()
    except REFUSALS:
        yield f"{text}: values that torch refuses"
        return
    results = [results] if isinstance(results, torch.Tensor) else results
    for a, b in zip(made, results, strict=True):
        same = a.dtype == b.numpy().dtype and np.array_equal(a, b.numpy(), a.dtype.kind == "f")
        if not same:
            yield f"{text}: other values"


def shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype)[6:]}{[*value.shape]}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(shown, value))})"
    return repr(value)


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_a_known_call_gives_is_what_torch_gives(group: int) -> None:
    names = [*KNOWN][group::GROUPS]
    found = [line for name in names for case in cases(name) for line in differences(name, case)]
    assert not found, "\n".join(found)


def large(value: Any, axis: int) -> Any:
    """A declared operand, one axis of which is longer than any memory."""
    if isinstance(value, torch.Tensor):
        sizes = [LARGE if i == axis % value.ndim else n for i, n in enumerate(value.shape)]
        return empty(sizes, str(value.dtype)[6:])
    if isinstance(value, torch.dtype):
        return np.dtype(str(value)[6:])
    return [large(x, axis) for x in value] if isinstance(value, list) else value


@pytest.mark.parametrize("axis", range(3))
def test_declared_sizes_take_no_memory(axis: int) -> None:
    for name, call in KNOWN.items():
        for arguments in (arguments_for(name), *cases(name)):
            given = given_to(call, [large(x, axis) for x in arguments])
            tracemalloc.start()
            try:
                call.results(given)
            except LEFT_TO_TORCH:
                pass
            finally:
                _, peak_bytes = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            assert peak_bytes < MOST_BYTES, (name, shown(arguments))


# ---- graphs that no exporter writes


Change = Callable[[Any], None]


def with_unknown_operand(graph: Any) -> None:
    for node in graph["nodes"]:
        for item in node["inputs"]:
            if "as_tensor" in item["arg"]:
                item["arg"]["as_tensor"]["name"] = "nothing"


def with_own_result(graph: Any) -> None:
    node = graph["nodes"][0]
    node["inputs"][0]["arg"] = node["outputs"][0]


def with_names_twice(graph: Any) -> None:
    graph["nodes"][1]["outputs"] = graph["nodes"][0]["outputs"]


def with_input_twice(graph: Any) -> None:
    graph["inputs"].append(graph["inputs"][0])


def without_inputs(graph: Any) -> None:
    graph["inputs"] = []


def without_types(graph: Any) -> None:
    graph["tensor_values"] = {}


def without_outputs(graph: Any) -> None:
    graph["outputs"] = []


def with_unknown_output(graph: Any) -> None:
    graph["outputs"] = [{"as_tensor": {"name": "nothing"}}]


def with_later_first(graph: Any) -> None:
    graph["nodes"].reverse()


def with_large_types(graph: Any) -> None:
    for value in graph["tensor_values"].values():
        value["sizes"] = [{"as_int": LARGE}] * 60


def with_negative_types(graph: Any) -> None:
    for value in graph["tensor_values"].values():
        value["sizes"] = [{"as_int": -1}]


def with_unknown_types(graph: Any) -> None:
    for value in graph["tensor_values"].values():
        value["dtype"] = 1 << 40


CRAFTED: tuple[Change, ...] = (
    with_unknown_operand, with_own_result, with_names_twice, with_input_twice, without_inputs,
    without_types, without_outputs, with_unknown_output, with_later_first, with_large_types,
    with_negative_types, with_unknown_types,
)  # fmt: skip


@pytest.mark.parametrize("change", CRAFTED)
def test_a_crafted_graph_is_left_to_torch_or_refused(change: Change, tmp_path: Path) -> None:
    path = saved(tmp_path, Mixed(), torch.randn(1, 4, 10))
    with pytest.raises((NeedsTorch, MyoedgeError)):
        read_program(edited(path, lambda tree: change(tree["graph_module"]["graph"])))


def test_containers_of_any_depth_are_left_to_torch(tmp_path: Path) -> None:
    path = saved(tmp_path, Mixed(), torch.randn(1, 4, 10))

    def change(tree: Any) -> None:
        calls = tree["graph_module"]["module_call_graph"]
        whole = next(call for call in calls if call["fqn"] == "")
        whole["signature"]["out_spec"] = "[" * 200_000

    with pytest.raises((NeedsTorch, MyoedgeError)):
        read_program(edited(path, change))
