# SPDX-License-Identifier: Apache-2.0
"""Command line: `python -m myoedge` is the same as `myoedge`."""

from myoedge.cli import main

main()
