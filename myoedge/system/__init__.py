# SPDX-License-Identifier: Apache-2.0
"""Interface to the operating system: compilers, processes, caches, folders, ELF files."""
