# SPDX-License-Identifier: Apache-2.0
"""torch.export archives and checkpoints -> Graph."""
