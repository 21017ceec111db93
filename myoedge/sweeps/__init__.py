# SPDX-License-Identifier: Apache-2.0
"""Models x budgets x options x operating points: every build, its figures, what has got worse."""
