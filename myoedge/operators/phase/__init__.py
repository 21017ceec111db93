# SPDX-License-Identifier: Apache-2.0
"""The angle of a point with two coordinates."""
