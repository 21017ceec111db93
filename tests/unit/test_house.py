# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: every module imports by its full name, and no import cycle."""

from __future__ import annotations

import graphlib
import importlib
import pkgutil

import grimp
import pytest

import myoedge

MODULES = sorted(m.name for m in pkgutil.walk_packages(myoedge.__path__, "myoedge."))


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith("__main__")])
def test_every_module_imports_by_its_full_name(name: str) -> None:
    module = importlib.import_module(name)
    found = myoedge
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    assert found is module


def test_no_import_cycle() -> None:
    graph = grimp.build_graph("myoedge", exclude_type_checking_imports=True, cache_dir=None)
    imported = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    assert len([*graphlib.TopologicalSorter(imported).static_order()]) == len(graph.modules)
