# SPDX-License-Identifier: Apache-2.0
"""The memory plan of a quantised network: buffers, live ranges, offsets, tiles and transfers."""
