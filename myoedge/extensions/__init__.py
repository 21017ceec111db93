# SPDX-License-Identifier: Apache-2.0
"""Extensions of this package: each uses the core's hooks (myoedge.extension) and public records,
and no other extension."""
