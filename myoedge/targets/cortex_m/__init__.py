# SPDX-License-Identifier: Apache-2.0
"""Arm Cortex-M with DSP or vector instructions, on the boards that QEMU emulates."""

from __future__ import annotations
