# SPDX-License-Identifier: Apache-2.0
"""Re-created networks for sEMG: their size is the published one, and they build exactly."""

from __future__ import annotations

import re

import pytest
import torch

from tests.support.pages import replaced
from tests.upstream import record
from tests.upstream.networks import Network, networks
from tests.upstream.semg.published import MEASURED, PUBLISHED, Published
from tests.upstream.semg.states import DiagonalStates, Spiking

NAMES = [net.name for net in PUBLISHED]
EACH = pytest.mark.parametrize("net", PUBLISHED, ids=NAMES)


def _network(name: str) -> Network:
    return next(net for net in networks() if (net.library, net.name) == ("sEMG", name))


@EACH
def test_parameters_are_as_many_as_published(net: Published) -> None:
    count = sum(parameter.numel() for parameter in net.make().parameters())
    if net.parameters is not None:
        near = abs(count - net.parameters) <= 0.02 * net.parameters
        assert near != bool(net.differs), f"{count:,} of {net.parameters:,}"


def test_names_are_unique_and_sources_name_something_to_look_up() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 35
    for net in PUBLISHED:
        place = r"doi 10\.|arXiv \d{4}\.|PII |IEEE |[\w.-]+/[\w.*-]+ [0-9a-f]{7}|without a paper"
        assert re.search(place, net.source), net.source


def test_what_is_measured_elsewhere_is_of_a_network_of_the_list() -> None:
    assert set(MEASURED) <= {f"{net.library}/{net.name}" for net in networks()}


def test_the_page_is_made_of_the_record() -> None:
    text = record.PAGE.read_text()
    assert record.page_of(text, record.recorded()) == text
    assert replaced(text, record.pages.head(*record.COLUMNS), []) != text


@pytest.mark.parametrize("name", ["SpeechNet", "Hilbert VGG"])
def test_a_network_builds_exactly(name: str) -> None:
    """Rows are compared on host and simulator; their cycles are those of the page but for drift."""
    row = record.row_of(_network(name))
    recorded = record.recorded()[f"sEMG/{name}"]
    assert row["macs"] == recorded["macs"]
    assert row["parameters"] == recorded["parameters"]


def test_states_as_a_convolution_are_the_recurrence() -> None:
    """Ahead: h = decay * h + x, y = real(c * h), a step at a time; back: the same, reversed."""
    torch.manual_seed(0)
    net = DiagonalStates(3, 12, states=4).double()
    x = torch.randn(3, 12, dtype=torch.float64)
    step = net.log_step.exp()[:, 0]
    pole = torch.exp(torch.complex(-net.log_decay.exp()[..., 0], net.rate[..., 0]) * step)
    c = torch.complex(net.c[0, ..., 0], net.c[1, ..., 0])
    y = torch.zeros_like(x)
    for order, weights, late in ((range(12), c[0], 0), (range(11, -1, -1), c[1], 1)):
        h = torch.zeros_like(pole)
        for t in order:
            if late:  # the convolution behind a sample begins at the next one
                y[:, t] += (weights * h).sum(1).real.detach()
            h = pole * h + x[:, t, None]
            if not late:
                y[:, t] += (weights * h).sum(1).real.detach()
    found = torch.nn.functional.conv1d(
        torch.nn.functional.pad(x[None], (11, 12)), net._kernel(), groups=3
    )
    torch.testing.assert_close(found[0].detach(), y)


@pytest.mark.parametrize("subtracts", [False, True])
def test_a_neuron_fires_at_its_threshold(subtracts: bool) -> None:
    net = Spiking(1, 1, leak=0.5, threshold=1.0, subtracts=subtracts)
    torch.nn.init.ones_(net.layers[0].weight)
    rate = net(torch.tensor([0.75, 0.75, 0.75, 0.75])[None, :, None])
    # potentials 0.75, 1.125 fires; from zero again 0.75, 1.125; else 0.3125, 0.90625
    assert float(rate) == (0.25 if subtracts else 0.5)
