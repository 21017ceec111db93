# SPDX-License-Identifier: Apache-2.0
"""Model file, options and samples -> build folder; then its simulation and energy."""
