# SPDX-License-Identifier: Apache-2.0
"""Samples on disk and in memory: file formats, folders, user functions, windows of recordings."""
