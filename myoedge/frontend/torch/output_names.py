# SPDX-License-Identifier: Apache-2.0
"""Names of a program's outputs, from dicts, dataclasses and named tuples that forward() returns.

A pytree spec contains the type of a container, and its keys or fields as the "context".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from myoedge.frontend.port_names import port_names

Path = tuple[str | int, ...]


def output_paths(spec: Any, count: int) -> list[Path]:
    """Return the keys that lead to each of `count` outputs in the nested result of forward();
    positions if the result has another number of values.

    spec   torch.utils._pytree.TreeSpec of the result
    """
    paths = [*_output_paths(spec, ())]
    return paths if len(paths) == count else [(i,) for i in range(count)]


def output_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a name for each output: "logits", "aux_hidden", "output1_hidden"; without keys
    "output", or "output0", "output1" in order.

    paths   keys that lead to each output
    """
    if not any(isinstance(key, str) for path in paths for key in path):
        return tuple(f"output{i}" if len(paths) > 1 else "output" for i in range(len(paths)))
    names = []
    for path in paths:
        begins_with_key = path and isinstance(path[0], str)
        names.append(f"{'' if begins_with_key else 'output'}{'_'.join(map(str, path))}")
    return port_names(names)


def _output_paths(spec: Any, path: Path) -> Iterator[Path]:
    if spec.is_leaf():
        yield path
        return
    # a method since torch 2.10, a field before
    children = spec.children() if hasattr(spec, "children") else spec.children_specs
    names = names_in(getattr(spec.context, "_fields", spec.context), len(children))
    keys: Sequence[str | int] = names or range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _output_paths(child, (*path, key))


def names_in(context: Any, count: int) -> list[str | int] | None:
    """Return `count` keys from a container's context: a dict's keys, or a dataclass's fields that
    are not None; None if it has no keys."""
    keys = [*context] if isinstance(context, list | tuple) else []
    if len(keys) == 2 and isinstance(keys[0], list) and isinstance(keys[1], list):
        keys = keys[0]
    known = len(keys) == count > 0 and all(type(key) in (str, int) for key in keys)
    return keys if known else None


# ---- archives


def with_dicts(text: str, plain_types: set[str], is_plain: Callable[[str], bool]) -> str:
    """Return a JSON pytree spec with containers of user-defined classes replaced by dicts, so that
    no class is imported; other text is returned unchanged.

    plain_types   names of types that are left unchanged
    is_plain      name of a field -> whether it may be a key of the dict
    """
    try:
        version, root = json.loads(text)
        changed = _replace_by_dicts(root, plain_types, is_plain)
        return json.dumps([version, root]) if changed else text
    except (ValueError, KeyError, TypeError):
        return text


def _replace_by_dicts(node: Any, plain_types: set[str], is_plain: Callable[[str], bool]) -> bool:
    """Replace types and keys in a node and its children; return whether anything changed."""
    children = node["children_spec"]
    changed = False
    if node["type"] is not None:
        names = names_in(json.loads(node["context"]), len(children))
        strange = any(isinstance(name, str) and not is_plain(name) for name in names or ())
        if names is not None and (strange or node["type"] not in plain_types):
            plain = [re.sub(r"[\W_]+", "_", str(name)) for name in names]  # no dunder names either
            keys = [*port_names(plain)] if strange else names
            node["type"], node["context"] = "builtins.dict", json.dumps(keys)
            changed = True
    return any([changed, *(_replace_by_dicts(child, plain_types, is_plain) for child in children)])
