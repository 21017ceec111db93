# SPDX-License-Identifier: Apache-2.0
"""Linear recurrences along an axis."""
