# SPDX-License-Identifier: Apache-2.0
"""`python -m myoedge` is the same as `myoedge`."""

from myoedge.cli import main

main()
