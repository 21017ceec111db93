# SPDX-License-Identifier: Apache-2.0
"""Recordings and samples on disk: formats, folders, functions of a user, windows cut from them."""
