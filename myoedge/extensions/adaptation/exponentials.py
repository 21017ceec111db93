# SPDX-License-Identifier: Apache-2.0
"""Table of exponentials with 15 bits after the point, as in me_adapt_exponentials.h."""

from __future__ import annotations

import numpy as np

STEPS = 256  # of 1 / 16 each
EXPONENTIALS = np.round(32768 * np.exp(-np.arange(STEPS) / 16)).astype(np.int64)
