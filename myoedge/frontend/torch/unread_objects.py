# SPDX-License-Identifier: Apache-2.0
"""Reading of torch.save files with placeholders for objects of arbitrary classes.

`weights_only` creates and calls only allowed names. Every name in the pickle is mapped to
StandIn, which ignores its arguments, so that no class is imported and no function is called.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from myoedge.frontend.torch.load import foreign_names, import_torch

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
