# SPDX-License-Identifier: Apache-2.0
"""A weight is stored once: bytes of the weights of the recorded networks, by engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.regression.networks import networks
from tests.regression.run import built
from tests.support.stored_weights import plan_of, stored_weights

MOST = 1.05  # stored bytes, of parameters x bits / 8
LEAST_BYTES = 2000  # of networks in which words and rows of a few bytes do not matter
QUICK = ("autoencoder", "keywords", "recurrent 3", "sleepecg_bigru", "two lstms")
WHOLE = [
    name
    for name, entry in networks().items()
    if not (entry.l1 or entry.l2) and name != "unsupported"
]


@pytest.mark.parametrize(
    "name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in WHOLE]
)
@pytest.mark.parametrize("engine", ["auto", "cores"])
def test_weights_take_no_more_than_their_bits(name: str, engine: str, tmp_path: Path) -> None:
    """Channel tables come on top, and what layouts of NE16 add; layers that the cores share with
    NE16 have their weights in both layouts."""
    build = built(networks()[name], tmp_path / "models", tmp_path, engine)
    found = stored_weights(plan_of(build))
    print(name, engine, found)
    if found.needed >= LEAST_BYTES:
        assert found.share <= MOST, found
    assert engine == "auto" or not found.again, "one engine, one layout"
