# SPDX-License-Identifier: Apache-2.0
"""Files of torch.save with objects of any class: torch reads them with stand-ins for the classes.

`weights_only` creates and calls only what is allowed by name. Every name that a pickle has is
allowed here as StandIn, which ignores its arguments, so that no class is imported and no function
called.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from myoedge.frontend.torch.preflight import foreign_names, import_torch

BUILTINS = ("builtins.", "typing.")  # say least of a file
UNREAD = "_myoedge_unread"  # attribute of mappings that stand for an object


class UnreadObject:
    """Result of a call that is not made; ignores its state."""

    def __setstate__(self, state: Any) -> None:
        """Nothing of the state is kept."""


class _Uncalled(type):
    def __call__(cls, *arguments: Any) -> Any:
        """A call without arguments may make a mapping: a subclass of OrderedDict is pickled so."""
        return UnreadObject() if arguments else _unread_mapping()


class StandIn(metaclass=_Uncalled):
    """In the place of a class or function that is not imported."""

    def __new__(cls, *_: Any) -> Any:
        """An object that is made without a call: its items may follow."""
        return _unread_mapping()


def _unread_mapping() -> OrderedDict[Any, Any]:
    """torch sets items of dict, OrderedDict and Counter only; only OrderedDict has attributes."""
    made = OrderedDict[Any, Any]()
    setattr(made, UNREAD, True)
    return made


def _default_dict(*_: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def is_unread(value: Any) -> bool:
    """Whether a value stands for an object whose class was not imported."""
    return isinstance(value, UnreadObject) or value is StandIn or hasattr(value, UNREAD)


def load_without_objects(path: Path) -> tuple[Any, tuple[str, ...]]:
    """(content, names of classes and functions that were not imported) of a torch.save archive.

    Errors: those of torch.load, pickle.UnpicklingError for operations that it does not know.
    """
    torch = import_torch()
    names = foreign_names(path.read_bytes())
    stand_ins: dict[str, Any] = dict.fromkeys(names, StandIn)
    stand_ins |= {"collections.defaultdict": _default_dict, UNREAD: UnreadObject}
    allowed = [(made, name) for name, made in stand_ins.items()]
    with torch.serialization.safe_globals(allowed):
        content = torch.load(path, weights_only=True, map_location="cpu")
    return content, tuple(sorted(names, key=lambda name: (name.startswith(BUILTINS), name)))
