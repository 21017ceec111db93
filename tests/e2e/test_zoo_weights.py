# SPDX-License-Identifier: Apache-2.0
"""Bytes of the weights of the zoo's networks, as plans for GAP9 store them.

Networks of other libraries are tested where these are installed; not those whose plans take
minutes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from myoedge.frontend.torch.export import from_exported
from myoedge.passes import prepare
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.targets import find_chip
from tests.support.stored_weights import stored_weights
from tests.upstream.networks import Network, networks
from tests.upstream.record import _drawn, recorded

MOST = 1.05  # stored bytes, of parameters x bits / 8; tables come on top
MOST_PARAMETERS = 1_000_000
LONG = ("neuromotor interface/handwriting",)  # a plan of several minutes
QUICK = ("sEMG/Myo MLP",)
# What exceeds MOST: network -> share with NE16, and on the cores.
SPIKING = {  # layers in two layouts: in a chain of the first step, and alone behind it
    "sEMG/SNN of Loihi": (1.108, 1.108),
    "sEMG/SNN, 12 gestures": (1.264, 1.264),
    "sEMG/SNN, finger force": (1.5, 1.5),
}
WINDOWS = {  # NE16's windows: kernel rows in jobs of 256 inputs each
    "sEMG/SCADANN": (1.242, MOST),
    "myoedge/All-ConvNet": (1.215, MOST),
    "sEMG/TEMPONet": (1.09, MOST),
    "sEMG/ADANN ConvNet": (1.077, MOST),
    "sEMG/TraHGR": (1.13, MOST),
}
CHANNELS = {  # NE16's rows of 16 channels, of layers with few or 25
    "sEMG/CWT ConvNet": (1.107, MOST),
    "sEMG/MFTCAN": (1.316, MOST),
}
EXCEPTIONS: Mapping[str, tuple[float, float]] = {**SPIKING, **WINDOWS, **CHANNELS}


def small() -> dict[str, Network]:
    """Networks of the zoo that build, by library/name, up to MOST_PARAMETERS."""
    found = {f"{network.library}/{network.name}": network for network in networks()}
    rows = {key: row for key, row in recorded().items() if "refused" not in row}
    return {k: x for k, x in found.items() if _is_small(rows.get(k, {})) and k not in LONG}


def _is_small(row: Mapping[str, float]) -> bool:
    return 0 < row.get("parameters", 0) <= MOST_PARAMETERS


SMALL = small()


def test_exceptions_are_networks_of_the_zoo() -> None:
    assert {*EXCEPTIONS, *QUICK} <= {*SMALL}


@pytest.mark.parametrize(
    "key", [key if key in QUICK else pytest.param(key, marks=pytest.mark.slow) for key in SMALL]
)
def test_weights_of_a_network_are_stored_once(key: str) -> None:
    torch.manual_seed(0)
    model, inputs = SMALL[key].make()
    graph = prepare(from_exported(torch.export.export(model.eval(), inputs)))
    calib = {name: _drawn(x)[:2] for name, x in zip(graph.inputs, inputs, strict=True)}
    network = quantize_graph(graph, calibrate(graph, calib, Observer(), "test"))
    chip = find_chip("gap9")
    for used, most in zip(
        (chip, chip.cores_alone()), EXCEPTIONS.get(key, (MOST, MOST)), strict=True
    ):
        found = stored_weights(make_plan(network, used))
        assert found.share_of_all <= most, found
        assert most == MOST or found.share_of_all > MOST, f"no exception any more: {found}"
