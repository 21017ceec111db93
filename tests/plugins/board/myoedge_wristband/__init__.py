# SPDX-License-Identifier: Apache-2.0
"""A board: board.toml beside this file."""
