# SPDX-License-Identifier: Apache-2.0
"""The tests run in parallel: torch gets one thread, else its threads wait for each other."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
