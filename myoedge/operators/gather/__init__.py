# SPDX-License-Identifier: Apache-2.0
"""Elements of an axis by computed indices."""
