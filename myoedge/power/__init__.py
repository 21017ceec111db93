# SPDX-License-Identifier: Apache-2.0
"""Counters of a run -> joules, with an interval, and coefficients whose sources are known."""
