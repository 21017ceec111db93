# SPDX-License-Identifier: Apache-2.0
"""Quantisation-aware training with torchao: All-ConvNet on an armband's gestures, weights of 8, 4
and 2 bits; float, quantised after training and fine-tuned with its roundings, side by side.

Run it with `python examples/quantization_aware.py`, after `pip install -e '.[torch,qat]'`.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from numpy.typing import NDArray
from torchao.quantization.pt2e import move_exported_model_to_eval, move_exported_model_to_train
from torchao.quantization.pt2e.quantize_pt2e import (
    convert_pt2e,
    prepare_pt2e,
    prepare_qat_pt2e,
)

import myoedge
from myoedge.extensions.zoo import all_convnet, recordings

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
TRAIN_REPS, TEST_REPS = (0, 1), (2,)
LENGTH = 3  # 15 ms: hard enough that the float network makes mistakes and a loss shows
TYPICAL = 10.0  # rectified amplitude of a firm gesture, in steps of the armband's converter
BATCH = 32
BITS: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "8-bit weights": {},
    "4-bit weights": {"features.*": {"weights": 4}},
    "2-bit weights": {"features.*": {"weights": 2}},
}

Floats = NDArray[np.float32]
Labelled = tuple[Floats, NDArray[np.int64]]


@dataclass(frozen=True)
class Row:
    """A network on the test windows: shares that torch's run and the C have right, and that have
    one decision."""

    name: str
    right: float
    right_c: float | None = None
    agreement: float | None = None

    def __str__(self) -> str:
        shares = (self.right, self.right_c, self.agreement)
        return f"{self.name:32}" + "".join("" if x is None else f"{x:10.1%}" for x in shares)


def data(reps: Collection[int], hop: int = LENGTH) -> Labelled:
    """Windows [n, 1, 8, LENGTH] and their gestures [n]."""
    recording = recordings.load(RECORDING)
    x, y = recordings.windows(recording, reps, length=LENGTH, hop=hop)
    return x / np.float32(TYPICAL), y


def fit(model: torch.nn.Module, labelled: Labelled, steps: int, lr: float, seed: int) -> None:
    """Trains a network, or goes on with one that rounds."""
    torch.manual_seed(seed)
    x, y = (torch.from_numpy(array) for array in labelled)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=steps)
    for _ in range(steps):
        pick = torch.randint(len(x), (BATCH,))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x[pick]), y[pick]).backward()
        optimiser.step()
        schedule.step()


def captured(model: torch.nn.Module, x: Floats) -> Any:
    """The network as torchao prepares it: any batch of two and more, which a batch norm needs."""
    batch = ({0: torch.export.Dim("batch", min=2)},)
    example = (torch.from_numpy(x[:BATCH]),)
    return torch.export.export(model, example, dynamic_shapes=batch).module()


def after_training(model: torch.nn.Module, labelled: Labelled, layers: Any) -> Any:
    """The network with ranges of the training windows, its weights rounded."""
    quantizer = myoedge.GAP9Quantizer(layers)
    prepared = prepare_pt2e(captured(model.eval(), labelled[0]), quantizer)
    with torch.no_grad():
        prepared(torch.from_numpy(labelled[0][::4]))
    return convert_pt2e(prepared)


def with_training(
    model: torch.nn.Module, labelled: Labelled, layers: Any, steps: int, seed: int
) -> Any:
    """The network fine-tuned with its roundings."""
    quantizer = myoedge.GAP9Quantizer(layers, is_qat=True)
    copied = copy.deepcopy(model).train()
    prepared = prepare_qat_pt2e(captured(copied, labelled[0]), quantizer)
    move_exported_model_to_train(prepared)
    fit(prepared, labelled, steps, 3e-4, seed)
    move_exported_model_to_eval(prepared)
    with torch.no_grad():  # scales of the weights of the last step
        prepared(torch.from_numpy(labelled[0][:BATCH]))
    return convert_pt2e(prepared)


def logits(model: Any, x: Floats) -> Floats:
    with torch.no_grad():
        made: Floats = model(torch.from_numpy(x)).numpy()
    return made


def built(model: Any, x: Floats, folder: Path) -> Floats:
    """Logits [n, 5] of the generated C; the second export has the device's batch of one."""
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(model, (torch.from_numpy(x[:1]),)), path)
    build = myoedge.build(path, target="gap9", output=folder / "gap9", simulate=False)
    return np.concatenate([build.run(window[None]) for window in x])


def compared(name: str, model: Any, test: Labelled) -> Row:
    x, y = test
    by_torch = logits(model, x)
    with tempfile.TemporaryDirectory() as folder:
        by_c = built(model, x, Path(folder))
    shares = (by_torch.argmax(1) == y, by_c.argmax(1) == y, by_torch.argmax(1) == by_c.argmax(1))
    return Row(name, *(float(share.mean()) for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="of training, and of fine-tuning")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(2)  # the order of float additions depends on it

    train, test = data(TRAIN_REPS, hop=1), data(TEST_REPS)
    torch.manual_seed(options.seed)
    model = all_convnet.myo()
    fit(model, train, options.steps, 1e-3, options.seed)
    right = logits(model.eval(), test[0]).argmax(1) == test[1]
    print(f"{f'{len(right)} windows of repetition 2':32}     torch         C  same for")
    print(Row("float", float(right.mean())), flush=True)
    for name, layers in BITS.items():
        after = after_training(model, train, layers)
        print(compared(f"{name}, after training", after, test), flush=True)
        tuned = with_training(model, train, layers, options.steps, options.seed)
        print(compared(f"{name}, fine-tuned", tuned, test), flush=True)


if __name__ == "__main__":
    main()
