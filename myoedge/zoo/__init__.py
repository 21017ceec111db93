# SPDX-License-Identifier: Apache-2.0
"""Networks and recordings to try myoedge on; for examples, tests and users, not for the package."""
