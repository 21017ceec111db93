# SPDX-License-Identifier: Apache-2.0
"""Energy model: joules from the counters of a run, with an interval, and calibration to a board."""
