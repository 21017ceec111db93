# SPDX-License-Identifier: Apache-2.0
"""Sections of reports that extensions add."""

from __future__ import annotations

from myoedge.extension import SectionHook
from myoedge.reports.report_json import Report
from myoedge.system.hooks import hooks


def sections(report: Report) -> list[SectionHook]:
    """Return the sections of extensions whose entries a report has."""
    return [hook for hook in hooks("sections") if report.get(hook.name)]
