# SPDX-License-Identifier: Apache-2.0
"""The operating system: compilers, processes, caches, folders, ELF files."""
