# SPDX-License-Identifier: Apache-2.0
"""stream.json from elsewhere: what its network does not have is refused, field by field."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import infer_time_axes
from myoedge.streaming.stream import Port, State, Stream
from myoedge.streaming.stream_json import from_json, to_json
from tests.unit.test_streaming import recurrent

VALUES = (-1, 1000, 2**31, 2**63, 0.5, "x", None, True, [], [-(2**31)], [0] * 5000, [0.5], ["0"])


@functools.cache
def stream() -> Stream:
    q, _ = recurrent(nn.GRU)
    return causal_stream(q, infer_time_axes(q.graph, 2), 2)


def edited(change: Callable[[dict[str, Any]], None]) -> Stream:
    document = json.loads(json.dumps(to_json(stream())))
    change(document)
    return from_json(document, stream().network)


FREE = (("begins", 1000), ("fill", -1))  # other streams have these
ROWS = {"inputs": Port, "outputs": Port, "states": State}
FIELDS = [(name, key) for name, row in ROWS.items() for key in row.__slots__]


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_field_that_the_network_does_not_have_is_refused(name: str, key: str) -> None:
    for value in VALUES:
        if (key, value) not in FREE:
            with pytest.raises((ValueError, TypeError)):
                edited(lambda document, value=value: document[name][0].update({key: value}))


@pytest.mark.parametrize("name", ["early", "warmup", "future"])
def test_a_number_of_frames_that_no_stream_has_is_refused(name: str) -> None:
    for value in (-1, 2**31, 0.5, "x", None, True, []):
        with pytest.raises((ValueError, TypeError), match=f"{name}="):
            edited(lambda document, value=value: document.update({name: value}))


@pytest.mark.parametrize("name", ["inputs", "outputs", "states"])
@pytest.mark.parametrize("times", [0, 2])
def test_rows_that_are_missing_or_twice_are_refused(name: str, times: int) -> None:
    with pytest.raises(ValueError, match="states are not the"):
        edited(lambda document: document.update({name: document[name][1:] * times}))


def test_states_of_other_tensors_are_refused() -> None:
    """States whose sizes differ would be written past their end."""

    def turned(document: dict[str, Any]) -> None:
        first, last = document["states"][0], document["states"][-1]
        first["output"], last["output"] = last["output"], first["output"]

    with pytest.raises(ValueError, match="states are not the outputs"):
        edited(turned)
