# SPDX-License-Identifier: Apache-2.0
"""Advice of refusals: who follows it has a network that builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from myoedge import api
from myoedge.building.loading import load_model
from myoedge.errors import MyoedgeError
from myoedge.frontend.refusals import INSTEAD
from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.reports import operators
from tests.conftest import save_exported
from tests.support.oracles.torch import Net, agrees, close
from tests.support.refusals.advice import built_db, samples_of, sqnr_db
from tests.support.refusals.networks import REFUSED, Refused, X

pytestmark = pytest.mark.filterwarnings("ignore")
EACH = pytest.mark.parametrize("name", REFUSED)
# Words of the page of operators -> networks that have what they name.
MISSING: Mapping[str, Refused | Callable[[Tensor], Any]] = {
    "`torch.cond`": REFUSED["cond"],
    "`while_loop`": REFUSED["while"],
    "`x[mask]`": REFUSED["dynamic"],
    "`nonzero`": lambda x: x.nonzero().float(),
    "`unique`": lambda x: torch.unique(x) * 2,
    "KV caches": REFUSED["cache"],
    "`sort`": REFUSED["sort"],
    "`argsort`": lambda x: x.argsort(-1),
    "`topk`": REFUSED["topk"],
    "`median`": lambda x: x.median(-1)[0],
    "`quantile`": lambda x: x.quantile(0.5, -1),
    "`kthvalue`": lambda x: x.kthvalue(2, -1)[0],
    "`mode`": lambda x: x.mode(-1)[0],
    "`nn.EmbeddingBag`": REFUSED["embedding_bag"],
    "sparse tensors": REFUSED["sparse"],
    "complex inputs and outputs": REFUSED["complex"],
    "`grid_sample`": REFUSED["grid_sample"],
    "`fold`": REFUSED["fold"],
    "`MaxUnpool`": lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2),
    "`cummax`": REFUSED["other"],
    "`inv`": REFUSED["linalg"],
    "`solve`": lambda x: torch.linalg.solve(x[..., :6], x),
    "`svd`": lambda x: torch.linalg.svdvals(x),
    "`eigh`": lambda x: torch.linalg.eigh(x @ x.mT)[0],
    "`qr`": lambda x: torch.linalg.qr(x)[0],
    "`det`": lambda x: torch.linalg.det(x[..., :6]),
    "`cholesky`": lambda x: torch.linalg.cholesky(x @ x.mT),
    "`matrix_exp`": lambda x: torch.matrix_exp(x[..., :6]),
    "`rand`": lambda x: x + torch.rand(16),
    "`randn`": REFUSED["rand"],
    "`bernoulli`": lambda x: torch.bernoulli(x.sigmoid()),
    "`multinomial`": lambda x: torch.multinomial(x[0].softmax(-1), 1),
}
ALONE = {word: made for word, made in MISSING.items() if not isinstance(made, Refused)}


@pytest.mark.parametrize("word", ALONE)
def test_what_the_page_says_is_missing_is_refused(word: str) -> None:
    """Of the others test_a_network_is_refused_with_advice."""
    network = Net(lambda net, x: ALONE[word](x)).eval()
    program = torch.export.export(network, (X,))
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code in ("E110", "E111")


def test_the_page_has_the_words() -> None:
    text = operators.markdown(api.ops()).partition("## Not there yet")[2]
    assert not [word for word in MISSING if word not in text]


def test_every_replacement_of_a_call_is_tried() -> None:
    texts = {f"use {text}" for text in INSTEAD.values()}
    assert {t for t in texts if any(case.advice in t for case in REFUSED.values())} == texts


@EACH
def test_a_network_is_refused_with_advice(name: str) -> None:
    case = REFUSED[name]
    program = torch.export.export(case.network, case.inputs)
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code == case.code
    assert case.advice in "\n".join(caught.value.notice.tries)


@pytest.mark.parametrize("name", ["dynamic", "constant mask", "constant mask of all axes"])
def test_an_archive_is_refused_with_the_same_advice(name: str, tmp_path: Path) -> None:
    case = REFUSED[name]
    path = save_exported(case.network, case.inputs, tmp_path / "model.pt2")
    with pytest.raises(MyoedgeError, match=case.code) as caught:
        load_model(path)
    assert case.advice in "\n".join(caught.value.notice.tries)


@pytest.mark.slow
@EACH
def test_who_follows_the_advice_has_a_build(name: str, tmp_path: Path) -> None:
    """The C on the host, held against torch."""
    case = REFUSED[name]
    model = save_exported(case.followed, case.given, tmp_path / "model.pt2")
    names = torch.export.load(model).graph_signature.user_inputs
    samples = samples_of([x.numpy() for x in case.given])
    calib = {str(n): x for n, x in zip(names, samples, strict=True)}

    def meant(*one: Array) -> list[Array]:
        results = case.followed(*map(torch.from_numpy, one))
        results = results if isinstance(results, list | tuple) else [results]
        return [x.detach().numpy() for x in results]

    noise_db = built_db(model, calib, meant, tmp_path / "out")
    assert noise_db is not None
    assert noise_db > case.least_db - 3.0


@EACH
def test_who_follows_the_advice_has_a_network_that_is_imported(name: str) -> None:
    case = REFUSED[name]
    with torch.no_grad():
        found = case.followed(*case.given)
        if case.same:
            wanted = case.network(*case.inputs)
            close(found.float().numpy(), wanted.float().numpy(), 1e-4)
    graph = agrees(case.followed, *case.given, tolerance=1e-4)
    given = dict(zip(graph.inputs, samples_of([x.numpy() for x in case.given]), strict=True))
    assert (sqnr_db(graph, given) or 0.0) > case.least_db
