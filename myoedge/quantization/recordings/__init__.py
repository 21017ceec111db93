# SPDX-License-Identifier: Apache-2.0
"""Recordings and samples on disk: formats, folders, user functions, windows cut from recordings."""
