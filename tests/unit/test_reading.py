# SPDX-License-Identifier: Apache-2.0
"""Cycles of moves of the precision search in loops whose weights are read in every step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from myoedge.building.config_tables import Config
from myoedge.building.options import BuildOptions
from myoedge.building.plan_limits import reading
from myoedge.building.plans import planned_cycles
from myoedge.building.request import build_request
from myoedge.frontend.torch.export import from_exported
from myoedge.passes import prepare
from myoedge.quantization.formats import int16_groups
from tests.support.feedback import Feedback
from tests.support.searches import started, workshop_of


@pytest.mark.parametrize("l2", ["120KiB", "400KiB"])
def test_a_move_in_a_loop_costs_the_cycles_of_its_plan(l2: str) -> None:
    """Of all tensors in 16 bits, as the plans of both networks differ: every layer is computed in
    each of ten steps, and its weights are read in each if they do not fit L2."""
    torch.manual_seed(0)
    graph = prepare(
        from_exported(torch.export.export(Feedback().eval(), (torch.zeros(1, 12, 64),)))
    )
    samples = {graph.inputs[0]: np.random.default_rng(0).normal(size=(6, 1, 12, 64))}
    request = build_request(BuildOptions(model="", l2=l2, engine="cores"), Config())
    workshop = workshop_of(graph, {x: rows.astype(np.float32) for x, rows in samples.items()})
    state = started(workshop, graph)
    eight = state.network.engined
    found = reading(eight, request)
    assert found.turns == (10 if l2 == "120KiB" else 0)
    workshop, _ = workshop.reads(state.network, found, planned_cycles(eight, request))
    groups = int16_groups(graph, eight.params)
    networks = [workshop.make(replace(state.design, int16=x)) for x in ((), tuple(groups))]
    planned = [planned_cycles(network.engined, request) for network in networks]
    assert networks[1].cycles - networks[0].cycles == pytest.approx(
        planned[1] - planned[0], rel=0.1
    )
    if found.turns:
        assert networks[0].cycles == pytest.approx(planned[0])
