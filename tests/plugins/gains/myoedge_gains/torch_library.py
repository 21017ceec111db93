# SPDX-License-Identifier: Apache-2.0
"""lab::gain for PyTorch; myoedge imports this module before it reads a torch.export archive."""

from __future__ import annotations

import torch


def gain(x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    return x * factors


torch.library.define("lab::gain", "(Tensor x, Tensor factors) -> Tensor")
torch.library.impl("lab::gain", "CompositeExplicitAutograd", gain)
torch.library.register_fake("lab::gain", gain)
