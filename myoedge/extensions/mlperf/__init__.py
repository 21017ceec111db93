# SPDX-License-Identifier: Apache-2.0
"""The application that answers MLPerf Tiny's serial protocol with samples of a data set."""

from __future__ import annotations

from myoedge.extension import ApplicationHook, Extension, TableHook

EXTENSION = Extension(
    tables=(
        TableHook(
            "mlperf",
            "myoedge.extensions.mlperf.application:Dataset",
            "myoedge.extensions.mlperf.application:rules",
        ),
    ),
    applications=(
        ApplicationHook(
            "mlperf",
            ", for MLPerf Tiny",
            "myoedge.extensions.mlperf.application:requested",
            project="gap_sdk",
        ),
    ),
)
