# SPDX-License-Identifier: Apache-2.0
"""Reports of a build: report.json, layers.csv, terminal text, report.html, differences."""
