# SPDX-License-Identifier: Apache-2.0
"""Loading of torch.export archives by torch, from archives made anew of checked members."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.archive import (
    REEXPORT,
    packed_again,
    read_members,
    runs_code,
    shortened,
)
from myoedge.frontend.torch.preflight import checked_members
from myoedge.frontend.torch.registered import refuse_unregistered
from myoedge.frontend.torch.schema_hints import hints_once
from myoedge.frontend.torch.torchao_calls import as_decomposed, names_of_torchao
from myoedge.operators import modules
from myoedge.system.extras import install_command

if TYPE_CHECKING:
    from torch.export import ExportedProgram

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
    with _quiet() as causes, names_of_torchao(), hints_once():
        importlib.import_module("torch.ao.quantization.fx._decomposed")  # registers its calls
        try:
            program: ExportedProgram = torch.export.load(archive)
            as_decomposed(program)
        # torch may raise anything on a file from elsewhere
        except Exception as error:
            raise _unreadable(path, stated, causes[0] if causes else error) from error
    return program


def preflight(path: Path) -> tuple[io.BytesIO, Mapping[str, Any]]:
    """Check that loading a torch.export archive runs no code; return a new archive with only the
    needed members, and the program as JSON.

    Errors: E104 damaged, E107 loading could run code, E110 dynamic shapes.
    """
    members, program = checked_members(path)
    for name in filter(members.get, ARTIFACTS):
        members[name] = _plain_artifact(members[name], name, path)
    return packed_again(members), program


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
    before = [(logger.handlers, logger.propagate) for logger in loggers]  # torch adds its own
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
