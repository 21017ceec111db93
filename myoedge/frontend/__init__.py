# SPDX-License-Identifier: Apache-2.0
"""A model file -> Graph."""
