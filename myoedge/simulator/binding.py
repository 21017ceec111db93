# SPDX-License-Identifier: Apache-2.0
"""ctypes binding of the simulator's C core, compiled once and cached; the text that
programs print."""

from __future__ import annotations

import codecs
import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

from myoedge.simulator.result import STALLS
from myoedge.system.library import load_library
from myoedge.system.toolchain import CompileOptions

CORES = 10
REGISTERS = 32
U32, U64 = ctypes.c_uint32, ctypes.c_uint64

# -Wconversion would require a cast on every line of a 32-bit simulator.


class Counts(ctypes.Structure):
    """Mirrors the C struct Counts of core.h."""

    NUMBERS = (
        "instructions",
        "compressed",
        "loads",
        "stores",
        "jumps",
        "branches",
        "taken",
        "macs",
        "outside_loads",
        "outside_stores",
    )
    _fields_ = (*((name, U64) for name in NUMBERS), ("stall", U64 * len(STALLS)))


class FaultReport(ctypes.Structure):
    """Mirrors the C struct FaultReport of core.h."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("core", ctypes.c_int),
        ("pc", U32),
        ("address", U32),
        ("word", U32),
        ("cycle", U64),
        ("r", U32 * REGISTERS),
        ("at", U32 * CORES),
        ("state", U32 * CORES),
        ("text", ctypes.c_char * 160),
    )


class DeviceCounts(ctypes.Structure):
    """Mirrors the C struct DeviceCounts of devices.h."""

    NUMBERS = (
        "dma_in_bytes",
        "dma_out_bytes",
        "dma_transfers",
        "dma_busy_cycles",
        "l3_read_bytes",
        "l3_written_bytes",
        "l3_transfers",
        "l3_busy_cycles",
        "ne16_jobs",
        "ne16_busy_cycles",
        "mram_read_bytes",
        "mram_reads",
        "mram_busy_cycles",
    )
    _fields_ = tuple((name, U64) for name in NUMBERS)


class MarkRecord(ctypes.Structure):
    """Mirrors the C struct Mark of observe.h."""

    _fields_ = (
        ("cycle", U64),
        ("value", ctypes.c_int32),
        ("core", U32),
        ("counts", Counts * CORES),
        ("dma_bytes", U64),
        ("dma_busy_cycles", U64),
        ("l3_bytes", U64),
        ("l3_busy_cycles", U64),
        ("ne16_busy_cycles", U64),
        ("mram_bytes", U64),
    )


class Snapshot(ctypes.Structure):
    """Mirrors the C struct Snapshot of observe.h."""

    _fields_ = (("value", ctypes.c_int32), ("address", U32), ("size", U32))


class StepRecord(ctypes.Structure):
    """Mirrors the C struct Step of observe.h."""

    _fields_ = (("cycle", U64), ("pc", U32), ("core", U32), ("reg", U32), ("value", U32))


class SpanRecord(ctypes.Structure):
    """Mirrors the C struct Span of observe.h."""

    _fields_ = (
        ("start", U64),
        ("end", U64),
        ("what", U32),
        ("core", U32),
        ("bytes", U32),
        ("address", U32),
    )


class Recorded(ctypes.Structure):
    """Mirrors the C struct Recorded of machine.h."""

    _fields_ = (
        ("marks", ctypes.POINTER(MarkRecord)),
        ("mark_count", U64),
        ("kept", ctypes.POINTER(ctypes.c_uint8)),
        ("kept_bytes", U64),
        ("profile", ctypes.POINTER(U64)),
        ("steps", ctypes.POINTER(StepRecord)),
        ("step_count", U64),
        ("steps_lost", U64),
        ("spans", ctypes.POINTER(SpanRecord)),
        ("span_count", U64),
        ("spans_lost", U64),
        ("line", ctypes.POINTER(U64)),  # pairs: cycle; byte in the upper half
        ("line_count", U64),
        ("ready", ctypes.POINTER(U64)),  # pairs: cycle; frame
        ("ready_count", U64),
        ("state_cycles", ctypes.POINTER(U64)),
        ("slow_cycles", ctypes.POINTER(U64)),
        ("state_bins", ctypes.POINTER(U64)),
        ("bin_bits", U64),
        ("restarts", U64),
        ("executed", ctypes.POINTER(U64)),
    )


class PlannedFault(ctypes.Structure):
    """Mirrors the C struct PlannedFault of peripherals.h."""

    _fields_ = (("frame", U32), ("kind", U32), ("value", ctypes.c_int64))


class PlaybackStruct(ctypes.Structure):
    """Mirrors the C struct Playback of peripherals.h."""

    _fields_ = (
        *((name, U32) for name in ("kind", "chips", "channels", "frames", "frame_bytes")),
        *((name, U32) for name in ("spi", "chip_select", "uart", "ready_pin", "start_pin")),
        *((name, U32) for name in ("reset_pin", "fault_count")),
        *((name, U64) for name in ("clock_hz", "rate_num", "rate_den", "start", "tail")),
        *((name, ctypes.c_void_p) for name in ("counts", "bytes", "faults")),
    )
    kept: object  # objects to which the pointers lead


MACHINE = ctypes.c_void_p
_BYTES = ctypes.c_char_p

# Function of machine.h -> (result, arguments).
_FUNCTIONS: dict[str, tuple[object, Sequence[object]]] = {
    "machine_new": (MACHINE, ()),
    "machine_free": (None, (MACHINE,)),
    "machine_set": (ctypes.c_int, (MACHINE, _BYTES, U32)),
    "machine_parameter": (_BYTES, (U32,)),
    "machine_boot": (ctypes.c_int, (MACHINE,)),
    "machine_write": (ctypes.c_int, (MACHINE, U32, _BYTES, U32)),
    "machine_read": (ctypes.c_int, (MACHINE, U32, ctypes.c_void_p, U32)),
    "machine_start": (ctypes.c_int, (MACHINE, U32)),
    "machine_flash": (ctypes.c_int, (MACHINE, _BYTES, U32)),
    "machine_flash_bytes": (ctypes.c_void_p, (MACHINE,)),
    "machine_flash_damaged": (ctypes.POINTER(ctypes.c_uint8), (MACHINE,)),
    "machine_fuse": (ctypes.c_int, (MACHINE, U32, U32)),
    "machine_power_cut": (None, (MACHINE, U32)),
    "machine_play": (None, (MACHINE, ctypes.POINTER(PlaybackStruct))),
    "machine_disturb": (ctypes.c_int, (MACHINE, U32, U32, U32)),
    "machine_run": (ctypes.c_int, (MACHINE, U64)),
    "machine_now": (U64, (MACHINE,)),
    "machine_limit": (None, (MACHINE, U64)),
    "machine_exit_code": (U32, (MACHINE,)),
    "machine_fault": (ctypes.POINTER(FaultReport), (MACHINE,)),
    "machine_counts": (ctypes.POINTER(Counts), (MACHINE, U32)),
    "machine_device_counts": (ctypes.POINTER(DeviceCounts), (MACHINE,)),
    "machine_core_state": (ctypes.c_int, (MACHINE, U32)),
    "machine_touched_bytes": (U32, (MACHINE, ctypes.c_int)),
    "machine_guard": (None, (MACHINE, U32, U32)),
    "machine_set_folder": (None, (MACHINE, ctypes.c_int)),
    "machine_take_output": (ctypes.c_size_t, (MACHINE, ctypes.c_void_p, ctypes.c_size_t)),
    "machine_watch_mark": (ctypes.c_int, (MACHINE, U32, ctypes.POINTER(Snapshot), U32)),
    "machine_profile": (ctypes.c_int, (MACHINE,)),
    "machine_steps": (ctypes.c_int, (MACHINE, U64, U64, U32, U32)),
    "machine_spans": (ctypes.c_int, (MACHINE, U32)),
    "machine_l2_base": (U32, (MACHINE,)),
    "machine_l2_bytes": (U32, (MACHINE,)),
    "machine_recorded": (None, (MACHINE, ctypes.POINTER(Recorded))),
}


@functools.cache
def core(cc: str = "zig", sanitize: Sequence[str] = ()) -> ctypes.CDLL:
    """Load the simulator's C core as a shared library, compiled on first use.

    sanitize   sanitizers to compile with
    Errors: E501 no compiler, E281 no disk space to compile.
    """
    folder = Path(__file__).parent / "core"
    warnings = ("-Wall", "-Wextra", "-Werror")
    options = CompileOptions(sanitize, (), "-O3", warnings, link_time=not sanitize)
    handle = load_library(folder, cc, options).handle
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(handle, name)
        function.restype, function.argtypes = result, list(arguments)
    return handle


# --- text that the program prints -----------------------------------------------------------------


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
