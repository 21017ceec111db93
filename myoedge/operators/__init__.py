# SPDX-License-Identifier: Apache-2.0
"""The operators, one folder a family; importing this package fills base.OPS."""

# ruff: noqa: F401
import myoedge.operators.attention.definition
import myoedge.operators.attention.rotary
import myoedge.operators.conv.definition
import myoedge.operators.elementwise.definition
import myoedge.operators.elementwise.magnitude
import myoedge.operators.filters.definition
import myoedge.operators.filters.running
import myoedge.operators.layout.definition
import myoedge.operators.layout.pad_concat
import myoedge.operators.linear.definition
import myoedge.operators.norm.definition
import myoedge.operators.pool.definition
import myoedge.operators.pool.reduce
import myoedge.operators.recurrent.definition
import myoedge.operators.recurrent.gates
import myoedge.operators.softmax.classes
import myoedge.operators.softmax.ctc
import myoedge.operators.softmax.definition
import myoedge.operators.spectral.definition
