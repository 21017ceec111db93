# SPDX-License-Identifier: Apache-2.0
"""Loading of torch.export archives by torch, from archives made anew of checked members."""

from __future__ import annotations

import importlib
import io
import logging
import typing
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError, and_more
from myoedge.frontend.torch.archive import (
    REEXPORT,
    packed_again,
    read_members,
    runs_code,
    shortened,
)
from myoedge.frontend.torch.preflight import checked_members
from myoedge.frontend.torch.static_shapes import refuse_unregistered
from myoedge.operators import modules
from myoedge.system.tools import install_command

if TYPE_CHECKING:
    from torch.export import ExportedProgram

BLOCKS = "Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType"
LIMITS = "Scalar? quant_min=None, Scalar? quant_max=None"
SCHEMAS = (
    f"quantize_affine({BLOCKS} output_dtype, {LIMITS}) -> Tensor",
    f"dequantize_affine({BLOCKS} input_dtype, {LIMITS}, ScalarType output_dtype=6) -> Tensor",
    "choose_qparams_affine(Tensor? input, str mapping_type, SymInt[] block_size, "
    "ScalarType target_dtype, Scalar? quant_min=None, Scalar? quant_max=None, float? eps=None, "
    "ScalarType? scale_dtype=None, ScalarType? zero_point_dtype=None, bool keepdim=False) "
    "-> (Tensor, Tensor)",
)  # of torchao 0.18


@contextmanager
def names_of_torchao() -> Iterator[None]:
    """Context manager during which torchao's calls are registered with torch; torchao may still be
    imported afterwards."""
    import torch

    if hasattr(torch.ops.torchao, "quantize_affine"):
        yield
        return
    with torch.library._scoped_library("torchao", "FRAGMENT") as library:
        for schema in SCHEMAS:
            library.define(schema)
        yield


def as_decomposed(program: Any) -> None:
    """Replace torchao's quantising calls in a program's graph by quantized_decomposed calls, if the
    blocks are whole tensors or channels."""
    for node in program.graph.nodes:
        name = str(node.target).removeprefix("torchao.")
        if node.op == "call_function" and name in (
            "quantize_affine.default",
            "dequantize_affine.default",
        ):
            _replace_line(node, name.removesuffix("_affine.default"))


def _replace_line(node: Any, verb: str) -> None:
    import torch

    x, blocks, scale, zero, kind, low, high = (*node.args, None, None)[:7]
    shape, calls = tuple(x.meta["val"].shape), torch.ops.quantized_decomposed
    axes = [axis for axis, n in enumerate(shape) if blocks[axis] != n]
    low = torch.iinfo(kind).min if low is None else low
    high = torch.iinfo(kind).max if high is None else high
    if not axes:
        node.target = getattr(calls, f"{verb}_per_tensor").tensor
        node.args = (x, scale, zero, low, high, kind)
    elif len(axes) == 1 and blocks[axes[0]] == 1:
        node.target = getattr(calls, f"{verb}_per_channel").default
        node.args = (x, scale, zero, axes[0], low, high, kind)
    node.kwargs = {}


@contextmanager
def hints_once() -> Iterator[None]:
    """Context manager during which `typing.get_type_hints` resolves the annotations of a class
    once; torch resolves them for every object of a program, half the time for loading it."""
    resolve = typing.get_type_hints
    known: dict[tuple[object, int], tuple[object, dict[str, Any]]] = {}

    def once(of: Any, globalns: Any = None, **others: Any) -> Mapping[str, Any]:
        if others or not isinstance(of, type):
            return resolve(of, globalns, **others)
        if (of, id(globalns)) not in known:  # kept with the names, whose id then stays unique
            known[of, id(globalns)] = globalns, resolve(of, globalns)
        return known[of, id(globalns)][1]

    try:
        typing.get_type_hints = once  # type: ignore[assignment]
        yield
    finally:
        typing.get_type_hints = resolve


# torch.save members: sample inputs; weights and constants of archives of torch 2.8 and older
ARTIFACTS = ("data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt")


def load_exported(path: Path, because: str = "") -> ExportedProgram:
    """Load the program of a torch.export archive with torch, without executing anything in it.

    because   what in the archive needs torch, for messages
    Errors: E104, E107, E108, E110, E501.
    """
    torch = import_torch(because)
    archive, stated = preflight(path)
    modules("torch_library")  # imports modules of plug-ins, which register operators
    refuse_unregistered(stated)
    with _silence_torch() as causes, names_of_torchao(), hints_once():
        importlib.import_module("torch.ao.quantization.fx._decomposed")  # registers its calls
        try:
            program: ExportedProgram = torch.export.load(archive)
            as_decomposed(program)
        # torch may raise anything on a file from elsewhere
        except Exception as error:
            raise _unreadable_file_error(path, stated, causes[0] if causes else error) from error
    return program


def preflight(path: Path) -> tuple[io.BytesIO, Mapping[str, Any]]:
    """Check that loading a torch.export archive runs no code; return a new archive with only the
    needed members, and the program as JSON.

    Errors: E104 damaged, E107 loading could run code, E110 dynamic shapes.
    """
    members, program = checked_members(path)
    for name in filter(members.get, ARTIFACTS):
        members[name] = _repickle_tensors(members[name], name, path)
    return packed_again(members), program


def _repickle_tensors(data: bytes, member: str, path: Path) -> bytes:
    """Return a member's tensors pickled again, because torch falls back to full unpickling."""
    torch = import_torch()
    if not data.startswith(b"PK\x03\x04"):
        raise runs_code(path, member, "it is a pickle of an old kind, which loading would run")
    read_members(data, path, member)
    try:
        value = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:
        raise runs_code(path, member, unsafe_classes(data) or str(error).split("\n")[0]) from error
    clean = io.BytesIO()
    torch.save(value, clean)
    return clean.getvalue()


def unsafe_classes(data: bytes) -> str:
    """Return the classes other than tensors that a torch.save file would import; "" for none."""
    names = foreign_names(data)
    return f"it pickles {and_more(names, 6)}" if names else ""


def foreign_names(data: bytes) -> list[str]:
    """Return the names in a torch.save file, except tensors'; [] if it cannot be read."""
    torch = import_torch()
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except Exception:
        return []


def import_torch(because: str = "") -> Any:
    """Import torch. Errors: E501 not installed.

    because   what needs it, for messages
    """
    try:
        import torch
        import torch.export
    except (ImportError, OSError) as error:  # OSError: a shared library of torch is missing
        is_broken = not isinstance(error, ModuleNotFoundError)
        title = f"torch {'cannot be loaded; it ' * is_broken}is needed to read this model"
        install = install_command("torch")
        tries = [f"{install} --force-reinstall" if is_broken else install]
        facts = {"needs torch": because} if because else {}
        raise MyoedgeError("E501", title, {**facts, "cause": error}, tries) from error
    return torch


@contextmanager
def _silence_torch() -> Iterator[list[BaseException]]:
    """Context manager that keeps torch from printing; yields a list of the errors that torch logs
    before it raises vaguer ones."""
    causes: list[BaseException] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            causes.append(record.exc_info[1])
        return False

    handler = logging.Handler()
    handler.addFilter(keep)
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]  # torch adds its own
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield causes
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


def _unreadable_file_error(
    path: Path, program: Mapping[str, Any], cause: BaseException
) -> MyoedgeError:
    schema = program.get("schema_version")
    facts = {
        "torch here": import_torch().__version__,
        "torch that wrote it": program.get("torch_version", "2.4 or older"),
        "its schema": ".".join(map(str, schema.values())) if isinstance(schema, dict) else "none",
        "cause": f"{type(cause).__name__}: {shortened(str(cause).split(chr(10))[0], 160)}",
    }
    return MyoedgeError("E108", f"{path} could not be read by this torch", facts, REEXPORT)


# --- reading of torch.save files with placeholders for objects of arbitrary classes ---------------

BUILTINS = ("builtins.", "typing.")  # these names identify nothing
UNREAD = "_myoedge_unread"  # attribute of placeholder mappings


class UnreadObject:
    """Placeholder for the result of a call in a pickle; the call is not executed."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state of the pickled object."""


class _UncalledObject(type):
    def __call__(cls, *arguments: Any) -> Any:
        """Return a mapping for a call without arguments: a subclass of OrderedDict is pickled like
        this."""
        return UnreadObject() if arguments else _placeholder_mapping()


class StandIn(metaclass=_UncalledObject):
    """Placeholder for a class or function in a pickle, so that it is not imported."""

    def __new__(cls, *_: Any) -> Any:
        """Return a placeholder for an object that the pickle creates without a call; items may be
        set later."""
        return _placeholder_mapping()


def _placeholder_mapping() -> OrderedDict[Any, Any]:
    """Return an empty placeholder mapping: torch sets items only of dict, OrderedDict and Counter,
    and only OrderedDict may have attributes."""
    made = OrderedDict[Any, Any]()
    setattr(made, UNREAD, True)
    return made


def _placeholder_default_dict(*_: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def is_unread(value: Any) -> bool:
    """Return whether a value is a placeholder for an object of an arbitrary class."""
    return isinstance(value, UnreadObject) or value is StandIn or hasattr(value, UNREAD)


def load_without_objects(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Load a torch.save archive without importing or calling anything; return its content, and the
    names of the classes and functions that were replaced by placeholders.

    Errors: as torch.load; pickle.UnpicklingError for unknown pickle operations.
    """
    torch = import_torch()
    names = foreign_names(path.read_bytes())
    stand_ins: dict[str, Any] = dict.fromkeys(names, StandIn)
    stand_ins |= {"collections.defaultdict": _placeholder_default_dict, UNREAD: UnreadObject}
    allowed = [(made, name) for name, made in stand_ins.items()]
    with torch.serialization.safe_globals(allowed):
        content = torch.load(path, weights_only=True, map_location="cpu")
    return content, tuple(sorted(names, key=lambda name: (name.startswith(BUILTINS), name)))
