# SPDX-License-Identifier: Apache-2.0
"""L3: streamed weights, and feature maps that do not fit L2."""
