# SPDX-License-Identifier: Apache-2.0
"""Logging of a build to an MLflow run: metrics, parameters, tags and artifacts; facts of a
report by their paths in report.json."""

from __future__ import annotations

from myoedge.api.models import as_build
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.errors import MyoedgeError
from myoedge.reports import facts as reported
from myoedge.reports.report_json import Report
from myoedge.system.tools import install_command
from myoedge.version import __version__


def figures(report: Report) -> dict[str, float]:
    """Return the report's metrics, for which more or less is better, by path: "cycles.total",
    "energy_uj.value", "quantization.accuracy_int8" (0..1).

    Metrics that the report does not have, such as an accuracy without labels, are left out.
    """
    known = {fact.key: fact.value for fact in reported.facts(report) if fact.better}
    return {key: float(value) for key, value in known.items() if isinstance(value, int | float)}


def facts(report: Report) -> dict[str, str]:
    """Return the report's values that are no metrics, as text by path: "target.chip", "exact.host";
    unknown values are left out."""
    return {fact.key: str(fact.value) for fact in reported.facts(report) if not fact.better}


# Paths in report.json of a build's inputs; other facts are results and become tags.
MADE_FROM = ("model.", "target.", "quantization.calibration.")
PREFIX = "myoedge."  # of tags


def log_build(build: Build | StrPath) -> None:
    """Log a build to the active run of MLflow, or to a new one if there is none.

    build   a build or its folder
    Metrics are the report's figures and parameters its settings, named by their paths in
    report.json; tags are facts about results, named "myoedge.exact.host" and so on. The folder
    becomes an artifact of its own name. Errors: E222 no build, E501 MLflow is missing, and those of
    MLflow.
    """
    try:
        import mlflow
    except ImportError as error:
        cause, tries = {"cause": error}, [install_command("mlflow")]
        raise MyoedgeError("E501", "log_build needs MLflow", cause, tries) from None
    built = as_build(build)
    known = facts(built.report)
    settings = {path: text for path, text in known.items() if path.startswith(MADE_FROM)}
    results = {f"{PREFIX}{path}": text for path, text in known.items() if path not in settings}
    mlflow.log_params(settings)
    mlflow.log_metrics(figures(built.report))
    mlflow.set_tags({**results, f"{PREFIX}version": __version__})
    mlflow.log_artifacts(str(built.folder), artifact_path=built.folder.resolve().name)
