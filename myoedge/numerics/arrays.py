# SPDX-License-Identifier: Apache-2.0
"""Arrays of NumPy, as all stages type them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
