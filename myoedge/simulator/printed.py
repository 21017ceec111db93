# SPDX-License-Identifier: Apache-2.0
"""Text that a simulated program prints."""

from __future__ import annotations

import codecs
import ctypes

MAX_TEXT_CHARS = 16 << 20  # recorded characters of a program's output
_TRUNCATED_NOTE = "\n... the program printed more than is recorded\n"
_CHUNK = 1 << 16


class Printed:
    """Collector of the text that a program prints, up to MAX_TEXT_CHARS characters."""

    def __init__(self, core: ctypes.CDLL, machine: int) -> None:
        self.core, self.machine, self.parts = core, machine, list[str]()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ctypes.create_string_buffer(_CHUNK)
        self._remaining_chars = MAX_TEXT_CHARS

    def take(self, is_last: bool) -> str:
        """Record and return what was printed since the last call."""
        data = b""
        while count := self.core.machine_take_output(self.machine, self._buffer, _CHUNK):
            data += self._buffer.raw[:count]
        text, room = self._decoder.decode(data, final=is_last), self._remaining_chars
        self._remaining_chars -= len(text)
        if len(text) > room:
            text = text[:room] + _TRUNCATED_NOTE if room >= 0 else ""
        self.parts.append(text)
        return text
