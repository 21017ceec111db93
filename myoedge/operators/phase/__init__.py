# SPDX-License-Identifier: Apache-2.0
"""atan2: the angle of a point given by two coordinates."""
