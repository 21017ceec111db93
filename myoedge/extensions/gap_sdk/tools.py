# SPDX-License-Identifier: Apache-2.0
"""Rows of `doctor` for what builds and runs a project of the GAP SDK."""

from __future__ import annotations

import os
import shutil

from myoedge.backends.doctor import ToolRow, tool_row
from myoedge.extensions.gap_sdk.gvsoc import SETUP

ON_GVSOC_SDK = ("validate --on gvsoc-sdk", "simulate --on gvsoc-sdk")


def gap_sdk() -> ToolRow:
    """Return the row of the SDK in $GAP_SDK_HOME."""
    home = os.environ.get("GAP_SDK_HOME", "")
    place = ("", home) if home and os.path.exists(os.path.join(home, SETUP)) else None
    return tool_row("gap_sdk", "", ON_GVSOC_SDK, "source GAP9_SDK/configs/gap9_evk_audio.sh", place)


def cmake() -> ToolRow:
    """Return the row of cmake."""
    program = shutil.which("cmake")
    place = None if program is None else ("", program)
    return tool_row("cmake", "", ON_GVSOC_SDK, "sudo apt-get install cmake", place)
