# SPDX-License-Identifier: Apache-2.0
"""A training with PyTorch Lightning that ends with firmware: figures logged, budgets kept."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.lightning import build_module, firmware_callback

CLASSES, CHANNELS, LENGTH = 3, 4, 20


class Gestures(lightning.LightningModule):
    """A convolution with batch norm, its mean over the window, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        maps = nn.Sequential(nn.Conv1d(CHANNELS, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU())
        pool = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.network = nn.Sequential(maps, pool, nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.02)


class Windows(lightning.LightningDataModule):
    """Windows of noise whose class is the channel that is strongest."""

    def _loader(self, seed: int, count: int) -> DataLoader[Any]:
        drawn = np.random.default_rng(seed)
        y = drawn.integers(CLASSES, size=count)
        x = drawn.normal(size=(count, CHANNELS, LENGTH)).astype(np.float32)
        x[np.arange(count), y] *= 3
        return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=16)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(0, 256)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(1, 96)


def fit(folder: Path, **options: Any) -> Gestures:
    lightning.seed_everything(0)
    module, callback = Gestures(), firmware_callback(output=folder / "gap9", **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=10,
        logger=CSVLogger(folder, name="log", version=0),
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=Windows())
    return module


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_training_ends_with_logged_figures(tmp_path: Path) -> None:
    module = fit(tmp_path, simulate=True)
    with (tmp_path / "log" / "version_0" / "metrics.csv").open() as file:
        last = [*csv.DictReader(file)][-1]
    built = myoedge.load_build(tmp_path / "gap9")
    report = built.report
    assert report["cycles"]["source"] == "simulated"
    assert int(float(last["firmware/cycles.total"])) == report["cycles"]["total"] > 0
    assert float(last["firmware/latency_s"]) == report["latency_s"]
    assert float(last["firmware/energy_uj.value"]) == report["energy_uj"]["value"]
    x, y = (torch.cat(parts) for parts in zip(*Windows().val_dataloader(), strict=True))
    right = float(np.mean(built.run(x.numpy()).argmax(1) == y.numpy()))
    assert float(last["firmware/quantization.accuracy_int8"]) == pytest.approx(right, abs=1e-4)
    assert right > 0.9
    assert module.training
    assert myoedge.validate(built, on="host,simulator").passed


def test_a_build_over_budget_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "myoedge.toml").write_text('[budget]\nlatency = "1us"\n')
    with pytest.raises(MyoedgeError, match="over budget: latency") as caught:
        fit(tmp_path)
    assert caught.value.code == "E302"
    assert not (tmp_path / "gap9").exists()


def test_a_module_without_a_trainer_builds(tmp_path: Path) -> None:
    module = Gestures()
    built = build_module(module, calib=Windows().train_dataloader(), simulate=False)
    assert built.folder == Path("build/Gestures-gap9")
    assert module.training
