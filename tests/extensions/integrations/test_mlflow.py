# SPDX-License-Identifier: Apache-2.0
"""A build in MLflow, judged by the files that MLflow's own file store writes."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.lightning import build_module
from myoedge.extensions.integrations.mlflow import log_build
from tests.support.networks.small import Small


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # others need a database or a server
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    return tmp_path / "runs"


def test_a_build_is_in_the_store(tmp_path: Path, store: Path) -> None:
    drawn = np.random.default_rng(0)
    calib = {"x": drawn.random((40, 2, 12), np.float32), "label": drawn.integers(3, size=40)}
    output = tmp_path / "gesture-gap9"
    built = build_module(Small(), calib=calib, output=output, simulate=True)
    assert myoedge.validate(built, on="host").passed
    with mlflow.start_run() as active:
        log_build(output)
    (run,) = store.glob(f"*/{active.info.run_id}")
    report = json.loads((built.folder / "report.json").read_text())

    def metric(path: str) -> float:
        return float((run / "metrics" / path).read_text().split()[1])  # time stamp, value, step

    assert metric("cycles.total") == report["cycles"]["total"] > 0
    assert metric("latency_s") == report["latency_s"]
    assert metric("energy_uj.value") == report["energy_uj"]["value"]
    assert metric("quantization.accuracy_int8") == report["quantization"]["accuracy_int8"]
    assert (run / "params" / "target.chip").read_text() == "gap9"
    assert (run / "params" / "model.digest").read_text() == report["model"]["digest"]
    assert (run / "tags" / "myoedge.exact.host").read_text() == "True"
    assert (run / "tags" / "myoedge.cycles.source").read_text() == "simulated"
    kept = myoedge.load_build(run / "artifacts" / "gesture-gap9")  # which checks every file
    x = calib["x"]
    np.testing.assert_array_equal(kept.run(x), built.run(x))


def test_a_folder_without_a_build_starts_no_run(tmp_path: Path, store: Path) -> None:
    with pytest.raises(MyoedgeError, match="E222"):
        log_build(tmp_path)
    assert mlflow.active_run() is None
