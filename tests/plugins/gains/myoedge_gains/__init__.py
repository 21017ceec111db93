# SPDX-License-Identifier: Apache-2.0
"""lab::gain(x, factors): each channel times a factor of its own, which is a constant."""
