# SPDX-License-Identifier: Apache-2.0
"""The zoo's networks and recordings, and the demo's training part."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from myoedge.extensions.zoo import all_convnet, recordings

ROOT = Path(__file__).resolve().parents[2]
MYO = ROOT / "examples" / "data" / "libemg_myo.npz"

# worked out by hand for 16 x 8: output pixels x output channels x input channels x kernel taps
HD_MACS = [
    16 * 8 * 64 * 1 * 9,
    16 * 8 * 64 * 64 * 9,
    8 * 4 * 64 * 64 * 9,
    8 * 4 * 128 * 64 * 9,
    8 * 4 * 128 * 128 * 9,
    4 * 2 * 128 * 128 * 9,
    4 * 2 * 128 * 128,
    4 * 2 * 8 * 128,
]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


def conv_macs(model: torch.nn.Module, x: torch.Tensor) -> list[int]:
    """Output elements times weights an output element, seen by hooks while the network runs."""
    seen: list[int] = []

    def count(conv: torch.nn.Conv2d, _: object, y: torch.Tensor) -> None:
        seen.append(y.numel() * conv.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    model(x)
    return seen


def test_hd_has_the_papers_parameters_and_macs() -> None:
    model = all_convnet.hd()
    assert sum(p.numel() for p in model.parameters()) == 461_064
    macs = conv_macs(model, torch.zeros(1, 1, 16, 8))
    assert macs == HD_MACS
    assert sum(macs) == 14_368_768


def test_relu_stands_behind_every_convolution() -> None:
    kinds = [type(layer).__name__ for layer in all_convnet.hd().features]
    assert kinds == ["Conv2d", "ReLU"] * 8


@pytest.mark.parametrize(
    ("factory", "height", "width", "classes"),
    [(all_convnet.hd, 16, 8, 8), (all_convnet.myo, 8, 40, 5), (all_convnet.myo, 8, 3, 5)],
)
def test_logits_are_one_a_class(factory: type, height: int, width: int, classes: int) -> None:
    assert factory()(torch.zeros(2, 1, height, width)).shape == (2, classes)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_can_learn_from_the_first_step(seed: int) -> None:
    torch.manual_seed(seed)
    model = all_convnet.myo()
    x, _ = recordings.windows(recordings.load(MYO), [0], length=3, hop=30)
    model(torch.from_numpy(x) / 10).sum().backward()
    assert bool((list(model.parameters())[-1].grad > 0).all())


def drawn(lengths: list[int], labels: list[int], reps: list[int]) -> recordings.Recording:
    """Stretches of the given lengths; channel 0 counts samples, channel 1 stretches."""
    stretch = np.repeat(np.arange(len(lengths)), lengths)
    emg = np.stack([np.arange(len(stretch)), stretch], axis=1).astype(np.float32)
    return recordings.Recording(emg, 200.0, np.array(labels)[stretch], np.array(reps)[stretch])


@given(
    lengths=st.lists(st.integers(1, 25), min_size=10, max_size=10),
    length=st.integers(1, 8),
    hop=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_windows_never_straddle(lengths: list[int], length: int, hop: int) -> None:
    # gesture 4 of repetition 0 is followed by gesture 4 of repetition 1: only reps tells them apart
    recording = drawn(lengths, [0, 1, 2, 3, 4, 4, 3, 2, 1, 0], [0] * 5 + [1] * 5)
    starts = np.cumsum([0, *lengths])
    expected = [
        np.arange(first, first + length)
        for start, stop in pairwise(starts)
        for first in range(start, stop - length + 1, hop)
    ]
    if not expected:
        with pytest.raises(ValueError, match="no window"):
            recordings.windows(recording, [0, 1], length=length, hop=hop)
        return
    x, y = recordings.windows(recording, [0, 1], length=length, hop=hop)
    assert x.shape == (len(expected), 1, 2, length)
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    np.testing.assert_array_equal(x[:, 0, 0], np.array(expected))
    np.testing.assert_array_equal(y, recording.labels[np.array(expected)[:, 0]])


def test_smoothing_takes_no_sample_from_elsewhere() -> None:
    recording = drawn([30, 20, 25], [0, 1, 1], [0, 0, 1])
    x, _ = recordings.windows(recording, [0, 1], length=4, hop=1, smooth=5)
    assert len(x) == (30 - 7) + (20 - 7) + (25 - 7)
    assert set(np.unique(x[:, 0, 1])) == {0.0, 1.0, 2.0}
    np.testing.assert_array_equal(x[0, 0, 0], [2, 3, 4, 5])


def test_smoothing_averages_rectified_samples() -> None:
    emg = np.array([[1], [-3], [5], [-7]], np.float32)
    recording = recordings.Recording(emg, 200.0, np.zeros(4, np.int64), np.zeros(4, np.int64))
    x, _ = recordings.windows(recording, [0], length=3, hop=1, smooth=2)
    np.testing.assert_array_equal(x[0, 0, 0], [2, 4, 6])
    raw, _ = recordings.windows(recording, [0], length=4, hop=1, rectify=False)
    np.testing.assert_array_equal(raw[0, 0, 0], [1, -3, 5, -7])


def test_parts_halve_each_gesture_and_share_nothing() -> None:
    recording = drawn([10, 21], [0, 1], [3, 3])
    halves = [
        recordings.windows(recording, [3], length=1, hop=1, part=part)[0][:, 0, 0, 0]
        for part in ((0.0, 0.5), (0.5, 1.0))
    ]
    np.testing.assert_array_equal(halves[0], [*range(5), *range(10, 20)])
    np.testing.assert_array_equal(halves[1], [*range(5, 10), *range(20, 31)])


def test_the_recording_is_whole() -> None:
    recording = recordings.load(MYO)
    assert recording.emg.shape == (12_000, 8)
    assert recording.fs_hz == 200
    pairs = {(rep, label) for rep, label in zip(recording.reps, recording.labels, strict=True)}
    assert pairs == {(rep, label) for rep in range(4) for label in range(5)}


def test_recordings_need_no_torch() -> None:
    code = "import sys, myoedge.extensions.zoo.recordings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_demo_has_enough_to_test_on_and_keeps_it_apart(demo: ModuleType) -> None:
    x, y = demo.data(demo.TEST_REPS)
    assert len(x) >= 300
    assert set(y) == set(range(5))
    assert not {*demo.TRAIN_REPS} & {*demo.TEST_REPS, *demo.ROTATED_REPS}


def test_same_seed_same_weights(demo: ModuleType) -> None:
    labelled = demo.data(demo.TRAIN_REPS)
    first, second, other = (demo.train(labelled, steps=3, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_training_lowers_the_loss_and_ends_in_eval_mode(demo: ModuleType) -> None:
    x, y = demo.data(demo.TRAIN_REPS)

    def loss(model: torch.nn.Module) -> float:
        logits = torch.from_numpy(demo.predict_float(model, x))
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(y)))

    torch.manual_seed(0)
    untrained = loss(all_convnet.myo())
    model = demo.train((x, y), steps=20)
    assert not model.training
    assert loss(model) < untrained / 2


def test_export_writes_what_build_reads(demo: ModuleType, tmp_path: Path) -> None:
    calib, test = demo.data(demo.TRAIN_REPS, hop=60), demo.data(demo.TEST_REPS, hop=60)
    model = all_convnet.myo().eval()
    demo.export(model, tmp_path / "new" / "folder", calib, test)
    exported = torch.export.load(tmp_path / "new" / "folder" / "model.pt2").module()
    one = torch.from_numpy(test[0][:1])
    np.testing.assert_array_equal(exported(one).detach().numpy(), model(one).detach().numpy())
    with np.load(tmp_path / "new" / "folder" / "calib.npz", allow_pickle=False) as written:
        assert set(written) == {"input", "label"}
        np.testing.assert_array_equal(written["input"], calib[0])
        np.testing.assert_array_equal(written["label"], calib[1])
