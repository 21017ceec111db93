# SPDX-License-Identifier: Apache-2.0
"""A complete operator to copy: docs/adding-an-operator.md."""
