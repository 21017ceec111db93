# SPDX-License-Identifier: Apache-2.0
"""Verbs on a build's reports: energy, peaks, report."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from myoedge.api.models import as_build, report_of, with_plugin_errors
from myoedge.backends.build import ANOTHER, Build
from myoedge.building.options import StrPath
from myoedge.errors import set_in
from myoedge.system.control_characters import document_bytes

if TYPE_CHECKING:
    from myoedge.building.config import Found
    from myoedge.building.energy_calibration import EnergyCalibration
    from myoedge.reports.check import Check
    from myoedge.reports.diff import Changes, LayoutDiff
    from myoedge.reports.documents import EnergyReport, ReportDocument
    from myoedge.reports.peaks import Peaks


@with_plugin_errors
def energy(
    build: Build | StrPath,
    *,
    operating_point: str | None = None,
    every: str | None = None,
    battery: str | float | None = None,
    volts: str | float | None = None,
    latency: str | None = None,
    others: str | None = None,
    sleep: str | None = None,
    board: str | None = None,
    reset: bool = False,
) -> EnergyReport:
    """Estimate the energy per inference with the current coefficients; return the new report.json.

    operating_point   "high", "low", a clock as "300MHz", or "auto": the point of least
                      energy that meets `latency` and [budget] latency and keeps up with the stream
    latency           latency limit such as "20ms"; implies "auto"
    every             period of the inferences such as "50 ms", for duty cycle and average power;
                      None: that of the sensor application or of a stream with a known rate
    battery           capacity in mAh, or as text, "300 mAh"; needs a period
    volts             voltage of the battery; None: 3.7
    others            power of front end, radio and all else that is always on, "8 mW"; None: chip
                      only
    sleep             power of the sleeping chip, "0.05 mW"; None: between two bounds
    board             id or board.toml whose [energy] sets `others` and `sleep` if they are not
                      given
    reset             forget every, battery, volts, others and sleep of earlier runs

    The reports in the folder are replaced. They store these five values, each for later runs
    without it. If the reports cannot be written, `unwritten` has W210.

    Errors: E204, E222, E232 no time or battery, E240 no chip with a clock, E251 coefficients, E302
    no point meets the latency.
    """
    from myoedge.building.energy import consumption, duty_cycle, given_latency_s, module_powers
    from myoedge.reports.documents import EnergyReport

    chosen, latency_s = as_build(build), given_latency_s(latency, operating_point)
    given = {**duty_cycle(every, battery, volts), **module_powers(others, sleep, board)}
    found = consumption(chosen, operating_point, given, latency_s, resets=reset)
    return EnergyReport(*found)


def calibrate_energy(measurements: StrPath) -> EnergyCalibration:
    """Fit the energy coefficients to measurements of a board, and store them on this computer.

    measurements   a file of `board_card`, a folder of them, or CSV: build (folder, or "idle"),
                   operating_point, energy_uj or power_mw, and sigma_percent if the meter's error
                   is not 2 %

    All later energies on this computer use them; MYOEDGE_ENERGY names another file.
    Errors: E204, E220, E222, E250 measurements, E501 without scipy.
    """
    from myoedge.building.energy_calibration import calibration

    return calibration(Path(measurements))


@with_plugin_errors
def peaks(build: Build | StrPath) -> Peaks:
    """Return the buffers in use at the peak of each memory. Errors: E222 no build, or a build of
    an older version."""
    from myoedge.reports.peaks import Peaks
    from myoedge.reports.peaks import peaks as peaks_of

    chosen = as_build(build)
    return Peaks(peaks_of(chosen.mapped_report))


@overload
def report(
    build: Build | StrPath,
    *,
    against: None = None,
    html: StrPath | None = None,
    figures: StrPath | None = None,
) -> ReportDocument: ...


@overload
def report(
    build: Build | StrPath, *, against: Build | StrPath, html: StrPath | None = None
) -> Changes: ...


@with_plugin_errors
def report(
    build: Build | StrPath,
    *,
    against: Build | StrPath | None = None,
    html: StrPath | None = None,
    figures: StrPath | None = None,
) -> ReportDocument | Changes:
    """Return report.json of a build; with `against`, the differences from that build.

    html      file to write: the report's page, or both builds side by side
    figures   folder for the charts as SVG and PDF, and the tables as CSV and LaTeX

    Errors: E220, E281, E501 matplotlib is missing.
    """
    from myoedge.system.folder import explained, replace_files, write_file

    new = as_build(build)
    if figures is not None:
        from myoedge.reports.figures import figure_files

        place, files = Path(figures), figure_files(new.report)
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
        replace_files(place, files)
    if against is None:
        from myoedge.reports.documents import ReportDocument

        if html is not None:
            from myoedge.reports.html import report_html

            write_file(Path(html), document_bytes(report_html(new.report)))
        return ReportDocument(new.report)
    from myoedge.reports.diff import Changes, compare

    old = _accepted_report(against)
    if html is not None:
        from myoedge.reports.html import comparison_html

        folder = against.folder if isinstance(against, Build) else against
        titles = str(folder), str(new.folder)
        write_file(Path(html), document_bytes(comparison_html(old, new.report, titles)))
    return Changes(compare(old, new.report))


@with_plugin_errors
def diff(old: Build | StrPath, new: Build | StrPath) -> LayoutDiff:
    """Tell whether the model.blob of the new build suffices to update the old one's firmware.

    Errors: E222 no build; E240 a build without --weights-blob.
    """
    from myoedge.codegen.blob import layout_in
    from myoedge.reports.diff import LayoutDiff, differing_code

    builds = [as_build(build) for build in (old, new)]
    before, after = (layout_in(build.model_blob) for build in builds)
    sources = [
        {name: build.written(name).decode() for name in build.digests if name.startswith("src/")}
        for build in builds
    ]
    return LayoutDiff(before, after, differing_code(*sources))


def _accepted_report(build: Build | StrPath) -> dict[str, Any]:
    """Return the report of an accepted build. Errors: E222, which names --against."""
    with set_in("--against", {ANOTHER: f"cp -r NEW {build}, of a build that you accept"}, "E222"):
        return report_of(build)


@with_plugin_errors
def check(
    build: Build | StrPath, *, against: Build | StrPath, config: StrPath | Found | None = None
) -> Check:
    """Compare a build's figures with the figures of an accepted build, by the bounds of [check].

    against   the accepted build, or its folder
    config    myoedge.toml with [check]
    `raise_worse` of the result raises E305. Errors: E222 no build; E230 .. E232 myoedge.toml.
    """
    from myoedge.building.config import find
    from myoedge.reports.check import check_reports

    bounds = asdict(find(config).settings.check)
    found = check_reports(_accepted_report(against), (new := as_build(build)).report, bounds)
    old = against.folder if isinstance(against, Build) else against
    return replace(found, old=str(old), new=str(new.folder))
