# SPDX-License-Identifier: Apache-2.0
"""Outside this process: compilers, programs, caches, folders, ELF files."""
