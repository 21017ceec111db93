# SPDX-License-Identifier: Apache-2.0
"""Networks and recordings for examples, tests and users; no other package imports them."""
