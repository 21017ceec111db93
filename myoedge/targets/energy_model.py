# SPDX-License-Identifier: Apache-2.0
"""Coefficients of the energy of a chip's layers and of its sleep, with their uncertainties."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Energy of a chip. power/model.py has the formula.

    volts            voltage of the coefficients; dynamic energy scales with V^2, leakage with V
    instruction_pj, access_pj, dma_byte_pj   weights of the counters, whose factor is fitted
    values           leakage in mW, clocks in pJ per cycle, factor of the weights, pJ per byte of
                     L3, pJ per busy cycle of the accelerator, pJ per byte of the flash on the chip
    covariance       covariance of the values
    workload, board  relative standard deviations between workloads, and between boards
    typical          instructions, L1 accesses and DMA bytes per cycle of a long layer on the cores
    start_cycles     cycles of a layer that has half of them
    engine_typical   the same as `typical` for a layer on the accelerator, which is busy for
    engine_busy      this fraction of the cycles after
    engine_start_cycles   its start
    typical_error    relative error of energies by these means instead of counters
    modelled_error   of modelled instead of counted cycles
    sleep_mw         asleep with memories retained
    l3_asleep_mw     L3 asleep with data retained
    wake_s           to fall asleep and wake
    """

    volts: float
    instruction_pj: float
    access_pj: float
    dma_byte_pj: float
    values: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    workload: float
    board: float
    typical: tuple[float, float, float]
    start_cycles: float
    engine_typical: tuple[float, float, float]
    engine_busy: float
    engine_start_cycles: float
    typical_error: float
    modelled_error: float
    sleep_mw: float
    l3_asleep_mw: float
    wake_s: float
