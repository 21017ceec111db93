# SPDX-License-Identifier: Apache-2.0
"""Memory levels behind L2: weights that are loaded from there, and large feature maps."""
