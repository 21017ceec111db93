# SPDX-License-Identifier: Apache-2.0
"""Building: from model file, options and samples to a build folder, its simulation and energy."""
