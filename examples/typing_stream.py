# SPDX-License-Identifier: Apache-2.0
"""Typed text from packets: emg2qwerty's TDS network as a complete application of the chip.

Run it with `python examples/typing_stream.py "hello emg"`; it takes a few minutes. Two wristbands
with 16 electrodes each at 2 kHz, on four chained ADS1298; spectrogram and network in passes of 16
frames; a packet per frame with the best of 98 keys or the blank; on the host, greedy CTC makes text
of the packets.

Nobody typed, and upstream's weights are not included. A press of a key is noise with this key's own
strength at each electrode; the network's weights are random but for the last layer, which is fitted
to such presses by least squares. So the text shows that the path works, not how well one types.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import myoedge
from myoedge.backends.packets import Decision, Record
from myoedge.extensions.zoo.emg2qwerty import (
    CLASSES,
    FRAME,
    HOP,
    Emg2Qwerty,
    LogSpectrogram,
    tds,
    with_front_end,
)

KEYS = f"{string.ascii_lowercase} {string.ascii_uppercase}{string.digits}{string.punctuation}\n\b⇧"
BLANK = CLASSES - 1
TYPED = string.ascii_lowercase + " "  # keys that are fitted
RATE_HZ, CHANNELS = 2000, 32
PAST = 124  # frames before the first with a result
PRESS, GAP, FADE = 320, (240, 400), 32  # samples
NOISE_UV, PRESS_UV = 5.0, 60.0
SETTINGS = """
[stream]
axis = 0
rate = 2000
frames = 256
[sensor]
front_end = "ads1298"
channels = 32
rate = 2000
spi_clock = "20 MHz"
unit = "uV"
pins = { data_ready = 42, start = 43, reset = 44 }
"""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def presses(text: str, seed: int) -> tuple[Floats, Ints]:
    """Microvolts [samples, 32] of a text, and the class of each sample.

    The first second has none; only the middle of a press has its class, the rest the blank's.
    """
    rng = np.random.default_rng(seed)
    strength = np.random.default_rng(0).gamma(0.7, PRESS_UV, (len(KEYS), CHANNELS))
    starts = RATE_HZ + np.cumsum(PRESS + rng.integers(*GAP, len(text)))
    samples = RATE_HZ + (int(starts[-1]) if text else 0)
    amplitude = np.full((samples, CHANNELS), NOISE_UV)
    classes = np.full(samples, BLANK)
    ramp = np.clip(np.minimum(np.arange(PRESS), np.arange(PRESS)[::-1]) / FADE, 0.0, 1.0)
    for start, key in zip(starts, text, strict=True):
        amplitude[start : start + PRESS] += ramp[:, None] * strength[KEYS.index(key)]
        classes[start + PRESS // 3 : start + PRESS - PRESS // 3] = KEYS.index(key)
    return (rng.normal(size=amplitude.shape) * amplitude).astype(np.float32), classes


def spectra(emg: Floats) -> Tensor:
    """Log spectrogram [frames, 1, 2, 16, 33] of samples [n, 32]."""
    found: Tensor = LogSpectrogram()(torch.from_numpy(emg).reshape(-1, 1, 2, CHANNELS // 2))
    return found


@torch.no_grad()
def fitted(per_key: int) -> nn.Module:
    """The network with its front end; the last layer is fitted to so many presses of each key."""
    torch.manual_seed(0)
    network = tds().train()
    order = np.random.default_rng(1).permutation([*TYPED] * per_key)
    emg, classes = presses("".join(order), seed=1)
    frames = spectra(emg)
    network.model[0].batch_norm.momentum = None  # statistics of all frames
    network.model[0](frames)
    x, labels = features(network.eval(), frames), classes[FRAME // 2 :: HOP][PAST : len(frames)]
    wanted = nn.functional.one_hot(torch.from_numpy(labels), CLASSES).double()
    last = network.model[4]
    known = torch.cat([x.double(), torch.ones(len(x), 1)], 1)
    gram = known.T @ known + torch.eye(known.shape[1])
    solved = 12.0 * torch.linalg.solve(gram, known.T @ wanted)  # probabilities, sharpened
    last.weight.copy_(solved[:-1].T)
    last.bias.copy_(solved[-1])
    return with_front_end(network).eval()


def features(network: Emg2Qwerty, frames: Tensor, at_once: int = 1000) -> Tensor:
    """What the last linear layer sees of each frame but the first 124: [frames - 124, 768]."""
    edges = [*range(PAST, len(frames), at_once), len(frames)]
    parts = [network.model[:4](frames[first - PAST : end]) for first, end in pairwise(edges)]
    return torch.cat(parts)[:, 0]


def build(model: nn.Module, folder: Path) -> myoedge.Build:
    """The sensor application, calibrated on presses."""
    folder.mkdir(parents=True, exist_ok=True)
    archive, settings = folder / "typing.pt2", folder / "myoedge.toml"
    length = FRAME + HOP * (2 * PAST - 1)
    emg, _ = presses(TYPED, seed=2)
    samples = emg[: len(emg) // length * length].reshape(-1, length, 1, 2, CHANNELS // 2)
    example = (torch.zeros(samples[0].shape),)
    with torch.no_grad():
        torch.export.save(torch.export.export(model, example), archive)
    settings.write_text(SETTINGS)
    return myoedge.build(
        archive,
        calib=samples,
        output=folder / "typing",
        config=settings,
        app="sensor",
        stream=True,
        simulate=False,
    )


def text_of(classes: Iterable[int | None]) -> str:
    """Text of the best classes of all frames, by greedy CTC: no repetitions, then no blanks."""
    text, last = "", BLANK
    for now in classes:
        if now is not None and now not in (last, BLANK):
            text += KEYS[now]
        last = BLANK if now is None else now
    return text


def typed(packets: Iterable[Record]) -> str:
    """Text of an application's packets."""
    return text_of(packet.class_index for packet in packets if isinstance(packet, Decision))


def in_floats(model: nn.Module, emg: Floats) -> str:
    """Text of samples [n, 32] by the float network."""
    with torch.no_grad():
        scores = model(torch.from_numpy(emg).reshape(-1, 1, 2, CHANNELS // 2))
    return text_of(scores[:, 0].argmax(-1).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", nargs="?", default="hello emg", help="of a to z and spaces")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/typing_stream"))
    given = parser.parse_args()
    model = fitted(per_key=8)
    made = build(model, given.output)
    emg, _ = presses(given.text, seed=3)
    played = myoedge.play(made, emg)
    line = given.output / "line.bin"
    line.write_bytes(played.run.line)
    print(f"pressed  {given.text}")
    print(f"floats   {in_floats(model, emg)}")
    print(f"packets  {typed(myoedge.monitor(line))}")
    print(f"{len(played.decisions):,} decisions, equal to the reference: {played.exact}")


if __name__ == "__main__":
    main()
