# SPDX-License-Identifier: Apache-2.0
"""Splicing, sweeping and pruning on graphs of a few nodes."""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.graph.ir import Graph, Node, Tensor, prune
from myoedge.graph.match import NoMatch
from myoedge.graph.origin import Origin
from myoedge.graph.rewrite import (
    Rewrite,
    RewritePattern,
    apply,
    joined_origins,
    rewrite_pattern,
    splice,
)
from myoedge.operators.graph_builder import GraphBuilder

STEP = (("abs",),)


def chain(*ops: str) -> Graph:
    """x -> a -> b -> c ..., each a table that holds one function."""
    d = GraphBuilder()
    x = d.input("x", (2, 3))
    for index, op in enumerate(ops):
        d.stem, d.origin = "abcdefgh"[index], (Origin(op),)
        x = d.add("table", x, chain=((op,),))
    return d.build([x], ["output"])


def functions(graph: Graph) -> list[str]:
    return [node.attrs["chain"][0][0] for node in graph.nodes]


def replaced(old: str, new: str) -> RewritePattern:
    @rewrite_pattern("table")
    def rule(graph: Graph, node: Node) -> Rewrite | None:
        if node.attrs["chain"] != ((old,),):
            return None
        return GraphBuilder(graph, node).last("table", node.inputs[0], chain=((new,),))

    return rule


@rewrite_pattern("table")
def dropped(graph: Graph, node: Node) -> Rewrite | None:
    if node.attrs["chain"] != STEP:
        return None
    return GraphBuilder(graph, node).same_as(node.inputs[0])


def test_rules_run_until_none_matches() -> None:
    rules = [replaced("abs", "exp"), replaced("exp", "log")]
    assert functions(apply(rules, chain("abs", "sin", "exp"))) == ["log", "sin", "log"]


def test_a_rule_that_raises_no_match_leaves_the_node_to_the_next() -> None:
    @rewrite_pattern("table")
    def never(graph: Graph, node: Node) -> Rewrite:
        raise NoMatch

    assert functions(apply([never, replaced("abs", "exp")], chain("abs", "sin"))) == ["exp", "sin"]


def test_the_first_rule_of_the_table_wins() -> None:
    rules = [replaced("abs", "exp"), replaced("abs", "sin")]
    assert functions(apply(rules, chain("abs"))) == ["exp"]


def test_a_graph_that_no_rule_matches_is_returned_itself() -> None:
    graph = chain("exp", "sin")
    assert apply([dropped], graph) is graph


def test_rules_that_undo_each_other_end_with_their_names() -> None:
    rules = [replaced("abs", "exp"), replaced("exp", "abs")]
    with pytest.raises(RuntimeError, match=r"still match after 50 .*rule"):
        apply(rules, chain("abs"), limit=50)


@pytest.mark.parametrize(
    ("ops", "left"),
    [
        (("abs", "sin"), ["sin"]), (("sin", "abs"), ["sin"]), (("abs", "abs", "abs"), []),
        (("sin", "abs", "exp"), ["sin", "exp"]),
    ],
)  # fmt: skip
def test_dropped_nodes_are_bridged(ops: tuple[str, ...], left: list[str]) -> None:
    graph = apply([dropped], chain(*ops))
    assert functions(graph) == left
    assert graph.outputs == (graph.nodes[-1].name if left else "x",)


def test_splice_leaves_the_graph_it_was_given() -> None:
    graph = chain("sin", "abs")
    before = graph.digest
    after = splice(graph, graph.nodes[1], Rewrite((), {"b": "a"}))
    assert after.outputs == ("a",)
    assert graph.outputs == ("b",)
    copy = Graph(graph.inputs, graph.outputs, graph.nodes, graph.tensors, {}, ("output",))
    assert copy.digest == before


def test_what_nobody_reads_goes_and_inputs_stay() -> None:
    d = GraphBuilder()
    x, spare = d.input("x", (2,)), d.input("spare", (2,))
    unread = d.constant(np.ones(2))
    d.add("add", x, unread)
    y = d.add("table", x, chain=STEP)
    graph = prune(d.build([y], ["output"]))
    assert [node.name for node in graph.nodes] == [y]
    assert graph.inputs == (x, spare)
    assert set(graph.tensors) == {x, spare, y}
    assert not graph.constants


def test_a_patch_takes_fresh_names_and_the_matched_output() -> None:
    graph = chain("abs", "sin")
    patch = GraphBuilder(graph, graph.nodes[1])
    first = patch.add("table", "a", chain=STEP)
    second = patch.add("table", first, chain=STEP)
    change = patch.last("table", second, chain=STEP)
    assert len({first, second, "a", "b", "x"}) == 5
    assert change.nodes[-1].name == "b"
    assert all(node.origin == (Origin("sin"),) for node in change.nodes)
    assert change.tensors[0] == Tensor(first, (2, 3))


def test_origins_are_joined_in_order_and_once() -> None:
    a, b = chain("abs", "sin").nodes
    assert joined_origins(a, b, a) == (Origin("abs"), Origin("sin"))
