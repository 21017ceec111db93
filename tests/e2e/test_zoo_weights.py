# SPDX-License-Identifier: Apache-2.0
"""Bytes of the weights of the zoo's networks, as plans for GAP9 store them.

Networks of other libraries are tested where these are installed. L2 holds all weights, which leaves
their layouts as they are and makes plans in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

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
L2_BYTES = 1 << 28
QUICK = ("sEMG/Myo MLP",)
EXTERNAL = re.compile(r"(braindecode|timm|torchvision|transformers|tsai)\b")
# What exceeds MOST: network -> share with NE16, and on the cores.
SPIKING = {  # two layouts: of the first step alone, and of products of all further steps
    "sEMG/SNN of Loihi": (2.0, 2.0),
    "sEMG/SNN, 12 gestures": (2.0, 2.0),
    "sEMG/SNN, finger force": (2.0, 2.0),
}
CHANNELS = {  # rows of 16 channels of NE16, or words of the cores, for layers with few or 25
    "sEMG/CWT ConvNet": (1.107, MOST),
    "sEMG/MFTCAN": (1.254, MOST),
    "BioFoundation/FEMBA": (1.082, MOST),
    "braindecode/BDTCN": (1.073, MOST),
    "braindecode/CBraMod": (1.055, MOST),
    "braindecode/Deep4Net": (1.066, MOST),
    "braindecode/IFNet": (1.054, MOST),
    "braindecode/SCCNet": (1.505, MOST),
    "braindecode/SleepStagerChambon2018": (MOST, 1.069),
    "braindecode/TSception": (1.06, MOST),
    "torchvision/mnasnet0_5": (1.055, MOST),
    "tsai/GRU": (1.117, MOST),
    "tsai/GRUPlus": (1.117, MOST),
    "tsai/LSTM": (1.118, MOST),
    "tsai/LSTMPlus": (1.118, MOST),
    "tsai/RNN": (1.071, MOST),
    "tsai/RNNPlus": (1.071, MOST),
    "tsai/TCN": (1.257, MOST),
}
LONG_FILTERS = {  # depthwise rows of taps, in a copy for each place in a word
    "sEMG/S4 speech": (1.304, 1.303),
    "braindecode/ATCNet": (1.092, 1.092),
    "braindecode/AttentionBaseNet": (1.505, 1.444),
    "braindecode/EEGITNet": (1.986, 2.082),
    "braindecode/EEGInceptionERP": (1.284, 1.325),
    "braindecode/EEGNeX": (1.141, 1.141),
    "braindecode/EEGNet": (2.394, 2.394),
    "braindecode/EEGSym": (1.192, 1.177),
    "braindecode/EEGTCNet": (2.321, 2.241),
    "braindecode/MSVTNet": (1.429, 1.442),
    "braindecode/SincShallowNet": (1.753, 1.717),
    "braindecode/SleepStagerBlanco2020": (2.154, 2.154),
    "braindecode/TCFormer": (1.323, 1.317),
    "timm/edgenext_xx_small": (1.151, 1.118),
    "tsai/XceptionTime": (1.153, 1.153),
    "tsai/XceptionTimePlus": (1.153, 1.153),
}
TWO_ENGINES = {  # rows of one vector on the cores, and of many on NE16, with the same weights
    "braindecode/MEDFormer": (1.12, MOST),
}
EXCEPTIONS: Mapping[str, tuple[float, float]] = {
    **SPIKING,
    **CHANNELS,
    **LONG_FILTERS,
    **TWO_ENGINES,
}


def built() -> dict[str, Network]:
    """Networks of the zoo that build, by library/name."""
    found = {f"{network.library}/{network.name}": network for network in networks()}
    rows = recorded()
    refused = {key for key, row in rows.items() if "refused" in row or not row["parameters"]}
    return {key: x for key, x in found.items() if key in rows.keys() - refused}


BUILT = built()


def test_exceptions_are_networks_of_the_zoo() -> None:
    assert {*EXCEPTIONS, *QUICK} <= {*recorded()}


@pytest.mark.parametrize(
    "key", [key if key in QUICK else pytest.param(key, marks=pytest.mark.slow) for key in BUILT]
)
def test_weights_of_a_network_are_stored_once(key: str) -> None:
    torch.manual_seed(0)
    try:
        model, inputs = BUILT[key].make()
    except ModuleNotFoundError as missing:
        if not EXTERNAL.match(missing.name or ""):
            raise
        pytest.skip(f"{missing.name} is not installed")
    graph = prepare(from_exported(torch.export.export(model.eval(), inputs)))
    calib = {name: _drawn(x)[:2] for name, x in zip(graph.inputs, inputs, strict=True)}
    network = quantize_graph(graph, calibrate(graph, calib, Observer(), "test"))
    chip = replace(find_chip("gap9"), l2_bytes=L2_BYTES)
    for used, most in zip(
        (chip, chip.cores_alone()), EXCEPTIONS.get(key, (MOST, MOST)), strict=True
    ):
        found = stored_weights(make_plan(network, used))
        assert found.share_of_all <= most, found
        assert most == MOST or found.share_of_all > MOST, f"no exception any more: {found}"
