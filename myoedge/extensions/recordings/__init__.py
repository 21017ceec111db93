# SPDX-License-Identifier: Apache-2.0
"""Formats of recordings: MATLAB, text, WAV, EDF and BDF, XDF, HDF5."""

from __future__ import annotations

from myoedge.extension import Extension, ReaderHook

TEXT = "myoedge.extensions.recordings.text:read_text"
EDF = "myoedge.extensions.recordings.device_files:read_edf"
BDF = b"\xffBIOSEMI"  # first bytes of its files
GZIP = b"\x1f\x8b"
HDF5 = (b"\x89HDF", b"MATLAB 7.3")

EXTENSION = Extension(
    readers=(
        ReaderHook(
            "mat",
            (".mat",),
            "myoedge.extensions.recordings.device_files:read_mat",
            (b"MATLAB 5.0",),
            by_ending=True,
        ),
        ReaderHook("text", (".csv", ".tsv", ".txt"), TEXT, by_ending=True),
        ReaderHook("gzip", (".gz",), TEXT, (GZIP,)),
        ReaderHook(
            "wav", (".wav",), "myoedge.extensions.recordings.device_files:read_wav", (b"RIFF",)
        ),
        ReaderHook("edf", (".edf",), EDF, by_ending=True),
        ReaderHook("bdf", (".bdf",), EDF, (BDF,)),
        ReaderHook(
            "xdf", (".xdf",), "myoedge.extensions.recordings.device_files:read_xdf", (b"XDF:",)
        ),
        ReaderHook(
            "hdf5", (".h5", ".hdf5"), "myoedge.extensions.recordings.device_files:read_hdf5", HDF5
        ),
    ),
)
