# SPDX-License-Identifier: Apache-2.0
"""Windows of an axis side by side, parts of a tensor in the place of others."""
