# SPDX-License-Identifier: Apache-2.0
"""Graph + samples -> QuantGraph: observe ranges, choose parameters, measure what it costs."""
