# SPDX-License-Identifier: Apache-2.0
"""Build of firmware at the end of a training with PyTorch Lightning."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.api import build
from myoedge.backends.build import Build
from myoedge.building.config import find
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.mlflow import figures
from myoedge.quantization.recordings.recorded import first_sample
from myoedge.quantization.recordings.sources import read
from myoedge.quantization.samples import Given
from myoedge.system.tools import install_command

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch import nn

PREFIX = "firmware/"  # of metric names


def firmware_callback(
    *, calib: Given | None = None, test: Given | None = None, **options: Any
) -> Callback:
    """Return a Lightning callback that builds firmware after `trainer.fit` and logs its figures.

    calib     samples for calibration; None: the training loader
    test      labelled samples for the accuracy; None: the validation loader, if there is one
    options   further arguments of `myoedge.build`, such as output, target and config
    The names of the metrics are paths in report.json: "firmware/cycles.total". If the training has
    several processes, the first one builds. Errors: E501 lightning is missing. `trainer.fit` raises
    those of `build_module`: a build over [budget] fails the run with E302.
    """
    try:
        from lightning.pytorch.callbacks import LambdaCallback
    except ImportError as error:
        facts, tries = {"cause": error}, [install_command("lightning")]
        raise MyoedgeError("E501", "firmware_callback needs lightning", facts, tries) from None

    def on_fit_end(trainer: Trainer, module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        samples = trainer.train_dataloader if calib is None else calib
        loaders = trainer.val_dataloaders
        several = loaders if isinstance(loaders, list | tuple) else [loaders]
        unseen = several[0] if test is None and len(several) == 1 else test
        built = build_module(module, calib=samples, test=unseen, **options)
        metrics = {f"{PREFIX}{path}": x for path, x in figures(built.report).items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    return LambdaCallback(on_fit_end=on_fit_end)


def build_module(module: nn.Module, *, calib: Given, **options: Any) -> Build:
    """Build a torch module in memory, such as one from `load_from_checkpoint`.

    calib     samples for calibration; the first one gives the input's shape, with a batch of one
    options   further arguments of `myoedge.build`
    The module is copied to the CPU and set to evaluation; it is itself unchanged. The build is
    named after its class. Errors: E118 torch.export fails, otherwise as build.
    """
    from myoedge.frontend.torch.factory import example_of, exported
    from myoedge.frontend.torch.load import import_torch

    name = type(module).__name__
    reading = find(options.get("config")).settings.calib.reading
    copied = deepcopy(module).cpu().eval()
    sample = first_sample(read(calib, reading), reading)
    program = exported(copied, [example_of(copied, tuple(x[None] for x in sample))], name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.pt2"
        import_torch().export.save(program, file)
        return build(file, calib=calib, **options)
