# SPDX-License-Identifier: Apache-2.0
"""Functions for libraries that people train with and keep results in: one module per library,
which is imported on use and comes with the extra of the module's name."""
