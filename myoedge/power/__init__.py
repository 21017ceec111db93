# SPDX-License-Identifier: Apache-2.0
"""Energy model: counters of a run -> joules with an interval, and calibration of its
coefficients."""
