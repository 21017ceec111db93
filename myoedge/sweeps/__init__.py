# SPDX-License-Identifier: Apache-2.0
"""Sweeps: models x budgets x options x operating points; all builds, their figures, and
regressions."""
