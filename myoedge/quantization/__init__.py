# SPDX-License-Identifier: Apache-2.0
"""Graph + samples -> QuantGraph: calibration, quantisation parameters, SQNR."""
