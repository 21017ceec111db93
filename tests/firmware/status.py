# SPDX-License-Identifier: Apache-2.0
"""Results of the C interface, as me_status.h has them."""

from __future__ import annotations

import re

from myoedge.codegen.render import template_dir

_HEADER = (template_dir() / "include" / "me_status.h").read_text()
STATUS = {name: int(n) for name, n in re.findall(r"^    (ME_\w+) = (-?\d+)", _HEADER, re.MULTILINE)}
