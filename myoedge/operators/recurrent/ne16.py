# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers on NE16 and the cores together: NE16 computes the recurrent products of some
units, the cores those of the rest."""

from __future__ import annotations

from dataclasses import replace

from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.library.ne16_jobs import WEIGHT_OFFSET, linear_cycles, linear_planes
from myoedge.operators.library.ne16_rules import has_int8_products, sums_on_ne16
from myoedge.operators.library.packing import packed_channels, row_sums
from myoedge.operators.recurrent.c_kernels import ON_NE16, c_kernel
from myoedge.operators.recurrent.tiling import STEPS, in_tiles, packed_rows
from myoedge.targets.chip import Engine

SUM_BYTES = 4
UNITS_AT_A_TIME = 8  # units of the engine come in groups of 8, whose sums it stores in one cycle
CONFLICTS = 1.8  # factor for conflicts of the engine's loads with those of eight cores
INSTRUCTION_CYCLES = 1.15  # cycles per instruction of a core, with seven others running
CELL_INSTRUCTIONS = {4: 120, 3: 90}  # per unit, after its products, by gates
STEP_CYCLES = 450  # per step: barriers, reloaded code, start and end of the engine


def steps_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a recurrent layer, whose operands all stay in L1."""
    on_cores, units = in_tiles(step, engine), step.out[-1]
    gates, bits = step.shapes[0][-1] // units, step.weight_bits
    of_engine, cycles = _split_units_with_ne16(gates, units, engine.cores, bits)
    first = gates * of_engine
    channels = packed_channels(step)
    channels[:, 0] -= WEIGHT_OFFSET * row_sums(step.integers.weight)
    arrays = {
        "weights": packed_rows(step.integers.weight[first:], units - of_engine),
        "channels": channels,
        "planes": linear_planes(step.integers.weight[:first], bits),
    }
    kept = (operand for operand in on_cores.operands if operand.name not in arrays)
    return replace(
        on_cores,
        **c_kernel(step, ON_NE16, engine),
        operands=(*kept, *(Operand.whole(name, array) for name, array in arrays.items())),
        op={**on_cores.op, "engine_units": of_engine, "weight_bits": bits, "planes": "@planes"},
        scratch=lambda sizes: on_cores.scratch(sizes) + SUM_BYTES * first,
        work=lambda sizes: sizes["t"] * cycles,
        l1_only=True,
    )


def _split_units_with_ne16(gates: int, units: int, cores: int, bits: int) -> tuple[int, float]:
    """Return (number of units whose recurrent products NE16 computes, cycles of a time step), for
    the fewest cycles."""
    cell = CELL_INSTRUCTIONS[gates]

    def cycles(of_engine: int) -> float:
        own, behind = ceil_div(units - of_engine, cores), ceil_div(of_engine, cores)
        products = own * (ceil_div(units, 4) * (1 + 2 * gates) + cell)
        engine = CONFLICTS * linear_cycles(units, gates * of_engine, bits)
        on_cores = INSTRUCTION_CYCLES * products
        return max(engine, on_cores) + INSTRUCTION_CYCLES * behind * cell + STEP_CYCLES

    best = min(range(UNITS_AT_A_TIME, units, UNITS_AT_A_TIME), key=cycles)
    return best, cycles(best)


def one_sequence_of_many_units(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one sequence, and enough units to divide between NE16 and the cores.

    -> None, or the violated requirement
    """
    batch, units = step.shapes[0][1], step.out[-1]
    if batch > 1:
        return ConstraintViolation("one sequence", f"{batch} sequences", "a batch of 1")
    if units > UNITS_AT_A_TIME:
        return None
    return ConstraintViolation(f"more than {UNITS_AT_A_TIME} units", f"{units} units", "more units")


def resets_products(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a cell that multiplies h as it is: a GRU's reset gate is applied to the products.

    -> None, or the violated requirement
    """
    if not step.attrs.get("reset_first"):
        return None
    needs, has = "a reset gate after the products", "a reset gate before them"
    return ConstraintViolation(needs, has, "linear_before_reset = 1, as torch's GRU has it")


PARTS_ON_NE16 = sums_on_ne16(
    steps_on_ne16, STEPS[0], has_int8_products, one_sequence_of_many_units, resets_products
)
