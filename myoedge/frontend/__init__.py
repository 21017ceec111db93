# SPDX-License-Identifier: Apache-2.0
"""Import of model files: a model file -> Graph."""
