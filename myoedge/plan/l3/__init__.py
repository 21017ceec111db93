# SPDX-License-Identifier: Apache-2.0
"""L3: transfers of weights, feature maps that live there."""
