# SPDX-License-Identifier: Apache-2.0
"""Rewrite patterns, each of which replaces one node, and their application until none matches.

A pattern that does not apply returns None or raises NoMatch.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from myoedge.graph.constants import Constant, TensorQuant
from myoedge.graph.ir import Graph, Node, Tensor, prune
from myoedge.graph.match import attempt
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat

Key = tuple[int, ...]  # ascending in execution order
FAR = 8  # nodes before a match that rules inspect
MAX_TRACKED_READERS = 16  # with more readers, one more or less changes no match


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replacement of a node by others.

    nodes       new nodes, in order, in place of the replaced node; (): the node is dropped
    renamed     {old: new}: readers of the old tensor read the new one from now on
    tensors     the tensors that `nodes` write
    constants   constants that `nodes` read; without a format they get the format of the original
                constants, if it still fits
    """

    nodes: tuple[Node, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    constants: Mapping[str, Constant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RewritePattern:
    """A rewrite rule for nodes.

    rewrite   (graph, node) -> replacement of the node, if the rule applies
    ops       operators of the nodes that are tried; (): all
    beside    operator that another node must have; "": any
    """

    rewrite: Callable[[Graph, Node], Rewrite | None]
    ops: tuple[str, ...] = ()
    beside: str = ""


def rewrite_pattern(
    *ops: str, beside: str = ""
) -> Callable[[Callable[[Graph, Node], Rewrite | None]], RewritePattern]:
    """Return a decorator that makes a function a rewrite pattern for these operators, or for all if
    none is given.

    beside   operator that another node must have
    """
    return lambda rewrite: RewritePattern(rewrite, ops, beside)


class MutableGraph:
    """A graph whose nodes are replaced one by one, with an index of writers and readers.

    The cost of a replacement does not grow with the graph.

    view   the graph that patterns read: its mappings follow every replacement, its `nodes` do not
    ops    operators that its nodes have or had, and ""
    """

    def __init__(self, graph: Graph) -> None:
        graph = prune(graph)
        self._tensors, self._constants = {**graph.tensors}, {**graph.constants}
        self._outputs = {*graph.outputs}
        self._producer: dict[str, Node] = {}
        self._users: dict[str, list[Node]] = {}
        self._keys: dict[str, Key] = {}  # by node name
        self.ops = {"", *(node.op for node in graph.nodes)}
        for at, node in enumerate(graph.nodes):  # every list ends with the index, as in _insert
            self._keys[node.name] = (at,)
            self._producer.update(dict.fromkeys(node.outputs, node))
            for name in dict.fromkeys(node.inputs):
                self._users.setdefault(name, []).append(node)
        self.view = graph
        self._index_readers(graph.outputs)

    def replace(self, node: Node, change: Rewrite) -> dict[str, None]:
        """Replace a node and drop unread nodes; return the tensors whose writer or readers changed.

        A renamed tensor's parameters move to its new name, unless that has its own.
        """
        names, key = change.renamed, self._keys[node.name]
        self._tensors.update((t.name, t) for t in change.tensors)
        self._constants.update(with_formats_of(change.constants, self._nearby_formats(node)))
        for old, name in names.items():
            self._transfer_params(self.view.given(old), name)
        self._remove(node)
        for number, new in enumerate(change.nodes):
            self._insert(new, key if len(change.nodes) == 1 else (*key, number))
        self._rename(names, change.nodes)
        read = (x for other in (node, *change.nodes) for x in (*other.inputs, *other.outputs))
        changed = dict.fromkeys((*read, *names.values(), *change.constants))
        self._drop_unread([*changed, *(t.name for t in change.tensors)])
        return changed

    def _transfer_params(self, given: TensorQuant | None, name: str) -> None:
        """Set the quantisation parameters of a renamed value, unless it already has some."""
        if given is None or self.view.given(name) is not None:
            return
        if name in self._constants:
            self._constants[name] = replace(self._constants[name], q=given)
        else:
            self._tensors[name] = replace(self._tensors[name], q=given)

    def _nearby_formats(self, node: Node) -> list[ConstantFormat]:
        """Return integer formats of constants that a node, or a producer of its operands, reads."""
        writers = filter(None, map(self._producer.get, (node.name, *node.inputs)))
        used = {x for writer in writers for x in writer.inputs}
        found = (self.view.format(name) for name in sorted(used))
        return [each for each in found if each is not None]

    def is_there(self, node: Node) -> bool:
        return self._producer.get(node.name) is node

    def nodes(self) -> list[Node]:
        """Return the nodes in execution order."""
        return sorted(self._producer.values(), key=self._key)

    def near(self, names: Iterable[str]) -> list[Node]:
        """Return the nodes to which rewrite patterns may newly apply after these tensors have
        changed."""
        found: dict[str, Node] = {}
        for _ in range(FAR):
            behind = [n for x in names for n in self._few_readers(x) if n.name not in found]
            behind += [w for x in names if (w := self._producer.get(x)) and w.name not in found]
            found.update((node.name, node) for node in behind)
            names = [node.name for node in behind]
        return sorted(found.values(), key=self._key)

    def graph(self) -> Graph:
        """Return the current graph."""
        return prune(replace(self.view, nodes=tuple(self.nodes())))

    def _few_readers(self, name: str) -> Sequence[Node]:
        readers = self._users.get(name, ())
        return readers if len(readers) <= MAX_TRACKED_READERS else ()

    def _index_readers(self, outputs: tuple[str, ...]) -> None:
        self._outputs = {*outputs}
        self.view = replace(
            self.view,
            outputs=outputs,
            tensors=self._tensors,
            constants=self._constants,
        )
        vars(self.view).update(producer=self._producer, users=self._users)  # as if cached

    def _key(self, node: Node) -> Key:
        return self._keys[node.name]

    def _insert(self, node: Node, key: Key) -> None:
        self._keys[node.name] = key
        self.ops.add(node.op)
        self._producer.update(dict.fromkeys(node.outputs, node))
        for name in dict.fromkeys(node.inputs):
            insort(self._users.setdefault(name, []), node, key=self._key)

    def _remove(self, node: Node) -> None:
        for name in dict.fromkeys(node.inputs):
            readers = self._users[name]
            del readers[bisect_left(readers, self._key(node), key=self._key)]
            if not readers:
                del self._users[name]
        del self._keys[node.name]
        for name in node.outputs:
            del self._producer[name]

    def _rename(self, names: Mapping[str, str], made: Sequence[Node]) -> None:
        for old in names:
            for reader in [*self._users.get(old, ())]:
                if all(reader is not node for node in made):
                    key = self._key(reader)
                    self._remove(reader)
                    self._insert(reader.reading(names), key)
        if not self._outputs.isdisjoint(names):
            self._index_readers(tuple(names.get(out, out) for out in self.view.outputs))

    def _drop_unread(self, names: list[str]) -> None:
        while names:
            name = names.pop()
            node = self._producer.get(name)
            written = (name,) if node is None else node.outputs
            if any(x in self._users or x in self._outputs for x in written):
                continue
            if node is not None:
                self._remove(node)
                names += node.inputs
            for x in written if name not in self.view.inputs else ():
                self._tensors.pop(x, None)
                self._constants.pop(x, None)


def with_formats_of(
    constants: Mapping[str, Constant], sources: Sequence[ConstantFormat]
) -> Mapping[str, Constant]:
    """Return constants with the integer formats of the constants from which they were derived, if
    their values still fit these.

    sources   candidate formats
    """
    if not sources:
        return constants
    return {
        name: c if c.format else replace(c, format=format_of(c.array, sources))
        for name, c in constants.items()
    }


def format_of(value: Array, sources: Sequence[ConstantFormat]) -> ConstantFormat | None:
    """Return the first of the `sources` that fits a constant exactly; None if none fits."""
    return next((x for source in sources if (x := source.of(value)) is not None), None)


def apply(rules: Sequence[RewritePattern], graph: Graph, *, limit: int = 1_000) -> Graph:
    """Apply rewrite patterns until none matches; if several match a node, the first in the table
    wins.

    Sweeps run from inputs to outputs: the first and last over all nodes, others over nodes near
    changes. The larger of `limit` and the number of nodes bounds the sweeps.
    """
    fitting = cache(lambda op: [rule for rule in rules if not rule.ops or op in rule.ops])
    indexed, is_changed, whole = MutableGraph(graph), False, True
    pending = indexed.nodes()
    most_sweeps = max(limit, len(graph.nodes))
    for _ in range(most_sweeps):
        changed = _apply_once(indexed, pending, fitting)
        if whole and not changed:
            return indexed.graph() if is_changed else graph
        is_changed, whole = is_changed | bool(changed), not changed
        pending = indexed.nodes() if whole else indexed.near(changed)
    names = [rule.rewrite.__name__ for rule in rules]
    raise RuntimeError(f"rules still match after {most_sweeps} sweeps: {names}")


def _apply_once(
    indexed: MutableGraph, nodes: Sequence[Node], fitting: Callable[[str], Sequence[RewritePattern]]
) -> dict[str, None]:
    """Apply the first matching pattern to each node; return the tensors whose writer or readers
    changed."""
    changed: dict[str, None] = {}
    for node in nodes:
        if indexed.is_there(node):  # otherwise a rule replaced it in this sweep
            # A node's replacement by the first pattern that matches; None if none matches
            rules = (rule for rule in fitting(node.op) if rule.beside in indexed.ops)
            changes = (attempt(rule.rewrite, indexed.view, node) for rule in rules)
            change = next((change for change in changes if change is not None), None)
            if change is not None:
                changed |= indexed.replace(node, change)
    return changed


def splice(graph: Graph, node: Node, change: Rewrite) -> Graph:
    """Return the graph with one node replaced and unread values dropped."""
    indexed = MutableGraph(graph)
    indexed.replace(node, change)
    return indexed.graph()


def joined_origins(*nodes: Node) -> tuple[Origin, ...]:
    """Return the origins of several nodes, each once, in order."""
    return tuple(dict.fromkeys(o for node in nodes for o in node.origin))
