# SPDX-License-Identifier: Apache-2.0
"""Import of torch.export archives and checkpoints."""
