# SPDX-License-Identifier: Apache-2.0
"""The operators, one folder a family; importing this package fills base.OPS."""

from myoedge.operators.families import define_operators

define_operators()
