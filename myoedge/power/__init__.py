# SPDX-License-Identifier: Apache-2.0
"""Energy model: joules with an interval from the counters of a run, and calibration to a board."""
