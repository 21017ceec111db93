# SPDX-License-Identifier: Apache-2.0
"""Sweeps: builds of all combinations of models, budgets, options and operating points, with tables
of results and checks for regressions."""
