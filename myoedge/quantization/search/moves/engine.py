# SPDX-License-Identifier: Apache-2.0
"""Move of the precision search: integers for the cores in layers that have accelerator integers."""

from __future__ import annotations

from dataclasses import replace

from myoedge.numerics.arrays import ceil_div
from myoedge.quantization.engines import free_layers
from myoedge.quantization.search.state import Proposal, Proposals, Search, SearchState


def cores_integers(search: Search, state: SearchState) -> Proposals:
    """Propose integers with a pre-shift, which only the cores support, for the half of the
    accelerator's layers that gains least, then for all.

    The noise per layer hardly differs (0.01 dB); the noise at the outputs may differ by chance.
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
