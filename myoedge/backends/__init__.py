# SPDX-License-Identifier: Apache-2.0
"""The rungs a built network can be run on; the host is the first."""
