# SPDX-License-Identifier: Apache-2.0
"""Safe reading of torch.export archives: no code from an archive is executed.

torch.export.load runs code that a crafted archive brings along (torch 2.13.0, torch/export and
torch/_export/serde): unsafe unpickling of sample inputs, weights and constants; shared libraries
under data/aotinductor; sympify = eval of `expr_str`; modules imported by name in a pytree spec;
Python source put together from node names and `guards_code`, then exec'ed. So torch.export.load
never reads the file. Every member is checked against the output of torch.export.save; then a new
archive of checked members is loaded, with pickles made here from plainly read tensors.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.file_refusals import damaged
from myoedge.frontend.refusals import EXPORT_LINES
from myoedge.frontend.torch.archive import (
    MAX_BYTES,
    MODEL,
    REEXPORT,
    check_layout,
    check_schema,
    packed_again,
    read_members,
    runs_code,
    shortened,
    strange,
)
from myoedge.frontend.torch.output_names import with_dicts
from myoedge.frontend.torch.registered import refuse_unregistered
from myoedge.frontend.torch.static_shapes import Objects, check_static, dicts, drop_unread_scalars
from myoedge.frontend.torch.torchao_calls import as_decomposed, names_of_torchao
from myoedge.operators import modules
from myoedge.system.extras import install_command

if TYPE_CHECKING:
    from torch.export import ExportedProgram

MAX_ELEMENTS = 1 << 31
CONFIGS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
# torch.save artifacts: sample inputs; weights and constants of archives of torch 2.8 and older
ARTIFACTS = ("data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt")
OPERATOR = re.compile(
    r"torch\.ops\.(?!import_module|load_library|loaded_libraries)[A-Za-z]\w*"
    r"\.(?:[A-Za-z]|_[A-Za-z]|__i?(?:and|or|xor|lshift|rshift)__)\w*(?:\.[A-Za-z]\w*)?|"
    r"_operator\.(?:getitem|neg|pos|abs|add|sub|mul|truediv|floordiv|mod|pow|eq|ne|lt|le|gt|ge|"
    r"and_|or_|xor|not_)|math\.(?:ceil|floor|trunc|sqrt)|torch\._?sym_\w+|"
    r"torch\._functorch\.predispatch\.(?:lazy_load_decompositions|_(?:add|remove)_batch_dim|"
    r"_vmap_(?:in|de)crement_nesting)"
)
# names of parameters and modules end up between quotes in source that torch.fx generates
DOTTED = re.compile(r"(?!(?:.*\.)?__\w+__(?:\.|$))[\w \-+:/@=.]*")
# what sympy writes: no dunder, no attribute, no call of a lower-case name
SYMBOLIC = re.compile(r"(?!.*(?:__|\.\s*[A-Za-z_]|\b[a-z]\w*\s*\())[\w +\-*/%(),.<>=!&|']{1,4000}")
# read by people or compared as text only; literals are written with repr()
FREE = (
    *("as_string", "as_strings", "torch_version", "guards_code"),
    *("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "custom", "from_node"),
)
SPEC_TYPES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
NAMED = {"tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values"}


def load_exported(path: Path) -> ExportedProgram:
    """Load the program of a torch.export archive without executing anything in it. Errors: E104,
    E107, E108, E110, E501."""
    archive, stated = preflight(path)
    torch = import_torch()
    modules("torch_library")  # imports those of plug-ins, which register operators
    refuse_unregistered(stated)
    with _quiet() as causes, names_of_torchao():
        importlib.import_module("torch.ao.quantization.fx._decomposed")  # names of its calls
        try:
            program: ExportedProgram = torch.export.load(archive)
            as_decomposed(program)
        # the loader raises anything at all on a file it was not made for
        except Exception as error:
            raise _unreadable(path, stated, causes[0] if causes else error) from error
    return program


def preflight(path: Path) -> tuple[io.BytesIO, Mapping[str, Any]]:
    """Check that loading a torch.export archive runs no code; return a new archive with only the
    needed members, and the program as JSON.

    Errors: E104 damaged, E107 loading could run code, E110 dynamic shapes.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise strange(path, path.name, "it is larger than 4 GiB")
        members = read_members(path.read_bytes(), path)
        check_layout(members, path)
        program = _json_object(members[MODEL], MODEL, path)
        check_schema(program, path)
        dropped = drop_unread_scalars(program)
        objects = [*dicts(program)]
        if _made_plain(objects) or dropped:
            members[MODEL] = json.dumps(program).encode()
        _check_strings(objects, MODEL, path)
        for name in filter(members.__contains__, CONFIGS):
            config = _json_object(members[name], name, path)
            held = [*dicts(config)]
            _check_strings(held, name, path)
            _check_devices(held, path, {"cpu"})
            _check_payloads(config, name, members, path)
        _check_devices(objects, path, {"cpu", "meta"})
        check_static(program, objects, path)
        for name in filter(members.get, ARTIFACTS):
            members[name] = _plain_artifact(members[name], name, path)
    except OSError as error:
        raise MyoedgeError("E101", f"{path} cannot be read", {"cause": error.strerror}) from error
    except RecursionError as error:
        raise damaged(path, "its JSON is nested too deeply") from error
    return packed_again(members), program


def _json_object(data: bytes, member: str, path: Path) -> dict[str, Any]:
    """Parse the JSON object in a member. Errors: E104 not a JSON object."""
    try:
        value = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise damaged(path, f"{member}: {error}") from error
    if not isinstance(value, dict):
        raise damaged(path, f"{member}: not a JSON object")
    return value


def _made_plain(objects: Objects) -> bool:
    """Convert output containers of user classes, which torch would import, to dicts."""
    changed = False
    for _, node in objects:
        if isinstance(spec := node.get("out_spec"), str):
            node["out_spec"] = with_dicts(spec, SPEC_TYPES, _is_dotted)
            changed |= node["out_spec"] != spec
    return changed


def _check_strings(objects: Objects, member: str, path: Path) -> None:
    """Raise E107 for a string that loading could execute."""
    if why := next(_complaints(objects), None):
        raise runs_code(path, member, why)


def _complaints(objects: Objects) -> Iterator[str]:
    """Yield the reasons to refuse a JSON program; every string that no rule allows is one."""
    for key, node in objects:
        is_name = str.isidentifier if key in NAMED else _is_dotted
        for name, value in node.items():
            if not is_name(name):
                yield f"{shortened(name)} is a name in {key or 'it'}"
            if type(value) is list:
                yield from _complaints_of_list(name, value)
            elif type(value) is not dict and (why := _complaint(name, value)):
                yield why


def _complaints_of_list(key: str, values: list[Any]) -> Iterator[str]:
    """Yield reasons to refuse the values of a list and of nested lists; objects are checked
    separately."""
    pending = [*reversed(values)]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += reversed(value)
        elif not isinstance(value, dict) and (why := _complaint(key, value)):
            yield why


def _complaint(key: str, value: object) -> str:
    """Return the reason to refuse a value under a JSON key; "" if it is allowed."""
    if isinstance(value, str):
        return "" if RULES.get(key, _is_dotted)(value) else f'"{key}" is {shortened(value)}'
    if key == "use_pickle" and value is not False:
        return '"use_pickle" is on: loading would unpickle this tensor'
    is_plain = value is None or isinstance(value, bool | int | float)
    return "" if is_plain else f"{shortened(repr(value))} is in {key}"


@lru_cache(maxsize=1 << 16)  # keys, and names of tensors
def _is_dotted(text: str) -> bool:
    return DOTTED.fullmatch(text) is not None


def _is_spec(text: str) -> bool:
    """Return whether a text is a pytree spec of containers for which torch imports no module."""
    try:
        loaded = json.loads(text)
        return isinstance(loaded, list) and len(loaded) == 2 and _is_spec_node(loaded[1])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _is_spec_node(node: Any) -> bool:
    if node["type"] is None:
        return node["context"] is None and node["children_spec"] == []
    keys = json.loads(node["context"])
    plain = keys is None or (
        isinstance(keys, list)
        and all(isinstance(x, int) or (isinstance(x, str) and _is_dotted(x)) for x in keys)
    )
    return plain and node["type"] in SPEC_TYPES and all(map(_is_spec_node, node["children_spec"]))


RULES: Mapping[str, Callable[[str], bool]] = {
    **dict.fromkeys(FREE, lambda text: True),
    **dict.fromkeys(("in_spec", "out_spec"), _is_spec),
    **dict.fromkeys(("target", "as_operator"), lambda text: bool(OPERATOR.fullmatch(text))),
    **dict.fromkeys(("name", "as_name", "forward_arg_names"), lambda x: not x or x.isidentifier()),
    "expr_str": lambda text: bool(SYMBOLIC.fullmatch(text)),
    "use_pickle": lambda text: False,
}


def _check_payloads(
    config: Mapping[str, Any], member: str, members: Mapping[str, bytes], path: Path
) -> None:
    """Check that the archive has the bytes of each tensor, as many as its size needs."""
    folder = member.rpartition("/")[0]
    try:
        for name, meta in config["config"].items():
            have = len(members[f"{folder}/{meta['path_name']}"])
            need = math.prod(int(size["as_int"]) for size in meta["tensor_meta"]["sizes"])
            if not 0 <= need <= (MAX_ELEMENTS if have else 0):
                raise damaged(path, f"{member}: {name} has {need} elements in {have} bytes")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise damaged(path, f"{member}: {error!r}") from error


def _check_devices(objects: Objects, path: Path, known: set[str]) -> None:
    """Raise E108 for a device other than the CPU; weights on "meta" have no values."""
    devices = (node for key, node in objects if key in ("device", "as_device"))
    if others := sorted({str(node.get("type")) for node in devices} - known):
        facts = {"exported on": ", ".join(others), "needs": "cpu"}
        tries = ("move model and example to the CPU before exporting: model.cpu()", EXPORT_LINES)
        raise MyoedgeError("E108", f"{path} was not exported on the CPU", facts, tries)


def _plain_artifact(data: bytes, member: str, path: Path) -> bytes:
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
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"it pickles {', '.join(names[:6])}{more}" if names else ""


def foreign_names(data: bytes) -> list[str]:
    """Return the classes and functions, other than tensors, that a torch.save file names; [] if it
    cannot be read."""
    torch = import_torch()
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except Exception:
        return []


def import_torch() -> Any:
    """Import torch. Errors: E501 not installed."""
    try:
        import torch
        import torch.export
    except ImportError as error:
        facts, tries = {"cause": error}, [install_command("torch")]
        raise MyoedgeError("E501", "torch is needed to read models", facts, tries) from error
    return torch


@contextmanager
def _quiet() -> Iterator[list[BaseException]]:
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
    before = [(logger.handlers, logger.propagate) for logger in loggers]  # torch gives them its own
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield causes
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


def _unreadable(path: Path, program: Mapping[str, Any], cause: BaseException) -> MyoedgeError:
    schema = program.get("schema_version")
    facts = {
        "torch here": import_torch().__version__,
        "torch that wrote it": program.get("torch_version", "2.4 or older"),
        "its schema": ".".join(map(str, schema.values())) if isinstance(schema, dict) else "none",
        "cause": f"{type(cause).__name__}: {shortened(str(cause).split(chr(10))[0], 160)}",
    }
    return MyoedgeError("E108", f"{path} could not be read by this torch", facts, REEXPORT)
