# SPDX-License-Identifier: Apache-2.0
"""Weights from a checkpoint or safetensors file, loaded into the network of `--factory`."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError, and_more
from myoedge.frontend.detect import ModelFormat, describe, sniff
from myoedge.frontend.file_refusals import damaged, refuse, wrong_format
from myoedge.frontend.torch.archive import MAX_BYTES
from myoedge.frontend.torch.factory import example_of, exported, make_network, size_text
from myoedge.frontend.torch.load import (
    import_torch,
    is_unread,
    load_without_objects,
    unsafe_classes,
)
from myoedge.frontend.torch.preflight import refuse_file
from myoedge.system.regular_files import MAX_UNPACKED_BYTES, check_unpacked, open_regular
from myoedge.system.user_code import cause_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from myoedge.numerics.arrays import Array

READABLE = (ModelFormat.CHECKPOINT, ModelFormat.LEGACY, ModelFormat.MODULE, ModelFormat.SAFETENSORS)
# Keys under which training scripts store weights, most specific first.
NESTS = ("state_dict", "model_state_dict", "model", "network")
# Prefixes of DataParallel, torch.compile and the usual attribute in a LightningModule.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
SHOWN = 4
PICKLE = "it has operations that pickles of protocol 2, as torch.save writes them, do not have"
EXTRA_STATE = "_extra_state"  # torch.nn.Module.get_extra_state


def load_checkpoint(
    path: Path,
    factory: str,
    example_inputs: tuple[Array, ...] | None,
    otherwise: tuple[Array, ...] | None = None,
    max_bytes: int = MAX_UNPACKED_BYTES,
) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Build the factory's network, load the weights of a checkpoint, and export it with
    torch.export.

    factory          "pkg.mod:fn", also searched from the working folder; called without arguments,
                     returns a module or (module, example_inputs)
    example_inputs   one array per input with its batch axis; overrides the factory's
    otherwise        example inputs to try if the network does not accept these
    max_bytes        maximum unpacked size of a compressed file
    -> the exported program, and notes on wrappers that were removed from the checkpoint

    Errors: E103, E104, E106 for the file, E109 for weights that do not fit the network, E205
    without example inputs, E206 for the factory, E118 if torch.export fails, E247 too large.
    """
    kind = sniff(path)
    if kind not in READABLE:
        refuse(kind, path)
    module, own_example = make_network(factory)
    if path.stat().st_size > MAX_BYTES:
        raise damaged(path, "it is larger than 4 GiB")
    with open_regular(path) as file:
        check_unpacked(path, file, max_bytes)
    refuse_file(path)
    content, unread = _load_weights(path, kind)
    state, nests = _find_state_dict(content)
    expected = set(module.state_dict())
    if cause := _explain_no_state_dict(state):
        tries = ('torch.save(model.state_dict(), "weights.pt")',)
        raise MyoedgeError("E109", f"{path} holds no state dict", {"cause": cause}, tries)
    tensors, prefixes = _strip_prefixes({str(key): value for key, value in state.items()}, expected)
    tensors, extras = _drop_extra_state(tensors, expected, path)
    _load_into_module(module, tensors, path, factory)
    first = example_inputs if example_inputs is not None else own_example
    examples = [example_of(module, arrays) for arrays in (first, otherwise or first)]
    return exported(module.eval(), examples, factory), (*unread, *nests, *prefixes, *extras)


def _load_weights(path: Path, kind: ModelFormat) -> tuple[Any, tuple[str, ...]]:
    """Read a file of weights; return its content, and a note on objects that are not read.

    Errors: E103 a pickled module, or an old file with more than tensors; E104 damaged.
    """
    torch = import_torch()
    if kind is ModelFormat.SAFETENSORS:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path), ()
        except (SafetensorError, OSError, ValueError) as error:
            raise damaged(path, str(error)) from error
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, weights_only=True, map_location="cpu"), ()
    # torch may raise anything on a damaged file
    except Exception as error:
        classes = unsafe_classes(path.read_bytes())
        if not classes and "Unsupported" not in str(error):
            raise damaged(path, cause_of(error)) from error
        content, unread = (None, ()) if kind is ModelFormat.LEGACY else _load_without_objects(path)
        if isinstance(content, Mapping) and not is_unread(content):
            return content, (f"objects that are not read: {and_more([*unread], SHOWN)}",)
        what = f"{describe(kind, path)}; {classes or PICKLE}"
        save = 'torch.save(model.state_dict(), "weights.pt") stores only the weights; or:'
        raise wrong_format(path, what, save) from error


def _load_without_objects(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Load a checkpoint without its objects; return (content, names of classes replaced by
    placeholders), or (None, ()) for unknown pickle operations. Errors: E104 damaged."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return load_without_objects(path)
    except pickle.UnpicklingError:
        return None, ()
    except Exception as error:
        raise damaged(path, cause_of(error)) from error


def _find_state_dict(loaded: Any) -> tuple[Any, tuple[str, ...]]:
    notes: list[str] = []
    for _ in NESTS:  # a mapping may contain itself
        if not isinstance(loaded, Mapping):
            break
        nest = next((n for n in NESTS if isinstance(loaded.get(n), Mapping)), None)
        if nest is None:
            break
        others = [str(key) for key in loaded if key != nest]
        aside = f", left aside {and_more(others, SHOWN)}" if others else ""
        notes.append(f'weights taken from "{nest}"{aside}')
        loaded = loaded[nest]
    return loaded, tuple(notes)


def _explain_no_state_dict(state: Any) -> str:
    """Return why a value is no state dict; "" for names mapped to tensors and extra state."""
    torch = import_torch()
    if not isinstance(state, Mapping):
        return f"its content is of type {type(state).__name__}"
    if not state:
        is_object = is_unread(state)
        what = "an object of a class that is not read is in its place"
        return what if is_object else "it holds nothing"
    others = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    strange = [key for key in others if not key.endswith(EXTRA_STATE)]
    return f"not tensors: {and_more(strange, SHOWN)}" if strange else ""


def _strip_prefixes(
    state: dict[str, Tensor], expected: set[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Remove prefixes of wrappers ("module.") from names while this gives more expected names."""
    notes: list[str] = []
    # wrappers in wrappers are stripped in two passes; deeper nesting does not occur
    for _ in range(4):
        if expected <= set(state):
            break
        best = max(
            PREFIXES,
            key=lambda prefix: _rank_state_dict(_names_with_prefix(state, prefix), expected),
        )
        stripped = _names_with_prefix(state, best)
        if not stripped or (len(stripped) < len(state) and not expected <= set(stripped)):
            break
        if _rank_state_dict(stripped, expected) < _rank_state_dict(state, expected):
            break
        outside = [key for key in state if not key.startswith(best)]
        aside = f", left aside {and_more(outside, SHOWN)}" if outside else ""
        notes.append(f'prefix "{best}" taken off {len(stripped)} names{aside}')
        state = stripped
    return state, tuple(notes)


def _drop_extra_state(
    state: dict[str, Tensor], expected: set[str], path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Remove modules' extra state unless the network expects it.

    Errors: E109 if the network expects an object of the file that is not read.
    """
    extras = [name for name in state if name.endswith(EXTRA_STATE)]
    if unread := [name for name in extras if name in expected and _has_placeholder(state[name])]:
        facts = {
            "not read": and_more(unread, SHOWN),
            "because": "they are no numbers, texts and tensors",
        }
        tries = ("a network without get_extra_state and set_extra_state, for the device",)
        raise MyoedgeError(
            "E109", f"modules want objects of {path} that are not read", facts, tries
        )
    aside = _names_not_in(extras, expected)
    kept = {name: value for name, value in state.items() if name not in aside}
    return kept, (f"left aside {and_more(aside, SHOWN)}",) if aside else ()


def _has_placeholder(value: Any) -> bool:
    """Return whether a value contains an object that was replaced by a placeholder."""
    pending, seen = [value], set[int]()  # a mapping may contain itself
    while pending:
        value = pending.pop()
        if is_unread(value):
            return True
        if id(value) not in seen and isinstance(value, Mapping | list | tuple | set):
            seen.add(id(value))
            pending.extend(value.values() if isinstance(value, Mapping) else value)
    return False


def _names_with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _rank_state_dict(state: Mapping[str, Tensor], expected: set[str]) -> tuple[int, int]:
    """Return (number of expected names, number of names), to rank candidate state dicts."""
    return len(expected & set(state)), len(state)


def _load_into_module(
    module: nn.Module, state: dict[str, Tensor], path: Path, factory: str
) -> None:
    differences = _describe_differences(module.state_dict(), state)
    if not differences:
        try:
            module.load_state_dict(state, strict=True)
        except (RuntimeError, ValueError, TypeError) as error:
            differences = {"cause": cause_of(error)}
    if differences:
        tries = (f"let {factory} make the network that was trained, with the same sizes",)
        title = f"the weights in {path} do not fit the network of {factory}"
        raise MyoedgeError("E109", title, differences, tries)


def _describe_differences(
    expected: Mapping[str, Any], state: Mapping[str, Tensor]
) -> dict[str, str]:
    """Describe differences in names, shapes and types between a network's and a file's weights."""
    both = [name for name in expected if name in state]
    facts = {
        "missing": _names_not_in(expected, state),
        "unexpected": _names_not_in(state, expected),
        "other shape": [
            f"{name} is {size_text(state[name])}, the network has {size_text(expected[name])}"
            for name in both
            if _format_shape(expected[name]) != _format_shape(state[name])
            and not name.endswith(EXTRA_STATE)
        ],
        # torch would drop their imaginary parts
        "complex": [x for x in both if _is_complex(state[x]) > _is_complex(expected[x])],
    }
    return {key: and_more(names, SHOWN) for key, names in facts.items() if names}


def _names_not_in(names: Iterable[str], others: Container[str]) -> list[str]:
    return [name for name in names if name not in others]


def _format_shape(value: Any) -> object:
    return getattr(value, "shape", None)


def _is_complex(value: Any) -> bool:
    return bool(getattr(getattr(value, "dtype", None), "is_complex", False))
