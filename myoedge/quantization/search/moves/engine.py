# SPDX-License-Identifier: Apache-2.0
"""Move: the cores' integers for layers whose accelerator computes with other integers."""

from __future__ import annotations

from dataclasses import replace

from myoedge.numerics.arrays import ceil_div
from myoedge.quantization.engines import free_layers
from myoedge.quantization.search.state import Proposal, Proposals, Search, SearchState


def cores_integers(search: Search, state: SearchState) -> Proposals:
    """Propose the cores' integers for half of the layers, cheapest first; then for all.

    Per layer, both integers have equal noise to within 0.01 dB; the difference at an output is a
    matter of chance.
    """
    network, cycles = state.network, search.workshop.layer_cycles
    free = [step.node.name for step in free_layers(network.cores, network.engined)]
    if not free:
        return
    steps = {step.node.name: step for step in network.engined.steps}
    cores = search.workshop.make(
        replace(state.design, on_cores=state.design.on_cores | {*free}), network
    )
    others = {step.node.name: step for step in cores.engined.steps}
    free.sort(key=lambda name: cycles(others[name]) - cycles(steps[name]))
    for count in dict.fromkeys((ceil_div(len(free), 2), len(free))):
        on_cores = state.design.on_cores | {*free[:count]}
        yield Proposal("the cores' integers", replace(state.design, on_cores=on_cores))
