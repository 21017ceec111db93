# SPDX-License-Identifier: Apache-2.0
"""Messages for the firmware's own exit codes (firmware_templates/runtime/exit_codes.h)."""

from __future__ import annotations

from types import MappingProxyType

MEANINGS = MappingProxyType(
    {
        101: "a stack grew over its end",
        102: "input.bin is not there or cannot be read",
        103: "input.bin holds no whole number of inputs",
        104: "output.bin or cycles.bin cannot be written",
        105: "the clock generator does not lock",
        106: "l3.bin is not there or too short",
        107: "code or constants have changed",
    }
)
RUNTIME_SYMBOL = "me_stacks"  # in programs whose runtime reports these exit codes
