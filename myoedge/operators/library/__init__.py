# SPDX-License-Identifier: Apache-2.0
"""Code that families of operators share: packed weights, jobs of the accelerator, tilings, and
imports of masks, conditions and integers. It imports no family."""
