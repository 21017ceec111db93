# SPDX-License-Identifier: Apache-2.0
"""Advice about options, streams, masks and integers: who does literally what it says has a build,
or a network that is quantised."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.building.loading import load_model
from myoedge.building.pipeline import run_quantize
from myoedge.building.pipeline_options import Options
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported
from tests.support.oracles.torch import Net, seeded

pytestmark = pytest.mark.filterwarnings("ignore")
X = seeded(1, 4, 16)
WINDOWS = seeded(8, 1, 4, 16).numpy()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, where advice is followed."""
    monkeypatch.chdir(tmp_path)


def network(made: nn.Module | Callable[..., Any], *examples: Tensor) -> Path:
    module = made if isinstance(made, nn.Module) else Net(lambda net, *xs: made(*xs))
    return save_exported(module.eval(), examples or (X,), Path("model.pt2"))


def built(text: str = "", calib: Any = WINDOWS, **options: Any) -> myoedge.Build:
    Path("myoedge.toml").write_text(text)
    given = {"target": "host", "config": "myoedge.toml", **options}
    return myoedge.build("model.pt2", calib=calib, output="out", **given)


def tries_of(code: str, cause: Callable[..., Any], *given: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(MyoedgeError, match=code) as caught:
        cause(*given, **options)
    return caught.value.notice.tries


def table(advice: str) -> str:
    """TOML of "[stream] past = 12, future = 2 does this"."""
    head, lines = re.fullmatch(r"(\[\w+\]) (.*)", advice, re.DOTALL).groups()  # type: ignore[union-attr]
    pairs = re.findall(r"\w+ = (?:\[[^]]*\]|\{[^}]*\}|[\w.]+)", lines)
    return "\n".join([head, *pairs])


def options_of(advice: str) -> dict[str, str]:
    """Arguments of "--target gap9"."""
    name, value = advice.split()[:2]
    return {name.removeprefix("--").replace("-", "_"): value}


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_takes_all_frames_runs_on_overlapping_windows() -> None:
    network(nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), nn.Softmax(2)))
    overlapping, *_ = tries_of("E131", built, stream=True)
    assert built(table(overlapping), stream=True).stream is not None


def test_networks_over_whole_windows_are_frames_in_batches() -> None:
    whole = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    network(whole)
    single, batched = tries_of("E131", built, stream=True)
    assert single.startswith("build without --stream")
    assert "_run" not in single, "the function has the prefix of the build, which does not exist"
    assert built().stream is None
    shape = [int(n) for n in re.search(r"\[([\d, ]+)\]", batched).group(1).split(",")]  # type: ignore[union-attr]
    network(whole, torch.zeros(shape))
    calib = seeded(8, *shape).numpy()
    stream = built(stream=True, calib=calib)
    assert stream.stream is not None
    assert "W206" not in {warning.code for warning in stream.warnings}
    assert "W206" in {warning.code for warning in built(calib=calib).warnings}


def test_the_axis_of_time_is_one_of_those_named() -> None:
    network(nn.Sequential(nn.Linear(16, 3), nn.ReLU()), seeded(1, 8, 4, 16))
    calib = seeded(8, 1, 8, 4, 16).numpy()
    for advice in tries_of("E235", built, stream=True, calib=calib):
        assert built(table(advice), stream=True, calib=calib).stream is not None


def test_a_pass_is_as_many_frames_as_told() -> None:
    network(nn.Conv1d(4, 3, 2, stride=2))
    (advice,) = tries_of("E236", built, "[stream]\nframes = 3", stream=True)
    assert built(table(advice), stream=True).stream is not None
    network(nn.Conv1d(4, 3, 3, padding=1))
    (advice,) = tries_of("E236", built, '[stream]\npast = "4 ms"', stream=True)
    rated, _, in_frames = advice.partition(", or ")
    assert built(f'{table(rated)}\npast = "4 ms"', stream=True).stream is not None
    assert in_frames == "past and future in frames"
    assert built("[stream]\npast = 8\nfuture = 4", stream=True).stream is not None


@pytest.mark.slow
def test_a_state_is_named_with_the_output_that_it_will_be() -> None:
    network(nn.GRU(16, 4, batch_first=True), X[:, :1], torch.zeros(1, 1, 4))
    x, state = load_model(Path("model.pt2")).graph.inputs
    calib = {x: WINDOWS[:, :, :1], state: WINDOWS[:, :, :1, :4].clip(-1, 1)}
    wrong = f'[stream]\nstates = {{ {state} = "nothing" }}'
    (advice,) = tries_of("E239", built, wrong, calib, stream=True)
    assert advice.startswith("[stream] states = { state = 'stateN' }: an input = the output")
    _, new = load_model(Path("model.pt2")).graph.output_names
    text = table(advice.partition(": ")[0]).replace("{ state =", f"{{ {state} =")
    assert built(text.replace("stateN", new), calib, stream=True).stream is not None


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("E201", {"target": "gap8"}),
        ("E204", {"engine": "ne15"}),
        ("E204", {"tune": True, "simulate": False}),
        ("E203", {"holdout": 2.0}),
    ],
)
def test_options_are_spelt_as_told(code: str, wrong: dict[str, Any]) -> None:
    network(nn.Conv1d(4, 3, 3))
    advice = tries_of(code, built, **{"target": "gap9", **wrong})[0]
    assert advice.startswith("--")
    if "without" in advice:  # "--tune without --no-simulate"
        wrong = {key: value for key, value in wrong.items() if key != "simulate"}
        followed = wrong
    else:
        followed = {"simulate": False, **options_of(advice)}
    if "holdout" in followed:
        followed["holdout"] = float(followed["holdout"])
    assert built(**{"target": "gap9", **followed}).report["cycles"]["total"]


@pytest.mark.slow
def test_filters_are_as_told() -> None:
    network(nn.Conv1d(4, 3, 3))
    for advice in tries_of("E238", built, "[conditioning]\nrate_hz = 200\nband_hz = [20, 190]"):
        assert built(table(advice)).stream is None


def test_symbols_take_the_place_of_frames_of_classes() -> None:
    network(lambda x: torch.tanh(x).reshape(1, 2, 2, 16))
    advice = tries_of("E207", built, ctc=0)[0]
    assert advice.startswith("--ctc -1 if the last class is the blank")
    network(lambda x: torch.tanh(x).movedim(2, 0))
    assert built(ctc=-1).report["layers"]


def test_models_are_named_as_told() -> None:
    advice = tries_of("E202", run_quantize, Options())
    assert advice
    assert "myoedge" in advice[0] or "torch.export" in advice[0]


# --- masks and integers ---------------------------------------------------------------------------

HIDDEN = torch.ones(4, 4, dtype=torch.bool).triu(1)


def scores(x: Tensor) -> Tensor:
    return x @ x.mT / 16.0


def quantized(calib: Any = WINDOWS) -> Any:
    return run_quantize(Options(model="model.pt2", calib=calib)).network


def test_what_hides_keys_is_a_mask() -> None:
    def divided(x: Tensor) -> Tensor:
        return ((scores(x) + HIDDEN * -1e9) / (1.0 + scores(x).sigmoid())).softmax(-1)

    network(divided)
    first, second = tries_of("E226", quantized)
    assert first.startswith("masked_fill(hidden, -torch.inf) right before the softmax")
    network(lambda x: (scores(x) / (1.0 + scores(x).sigmoid())).masked_fill(HIDDEN, -torch.inf)
            .softmax(-1))  # fmt: skip
    assert quantized().steps
    assert second == "scores + (1 - kept) * -1e4, kept an input of ones and zeros"
    network(lambda x, kept: (scores(x) + (1 - kept) * -1e4).softmax(-1), X, torch.ones(1, 1, 4))
    names = load_model(Path("model.pt2")).graph.inputs
    kept = np.tile(np.float32([1, 1, 1, 0]), (8, 1, 1, 1)).reshape(8, 1, 1, 4)
    masked = dict(zip(names, (WINDOWS, kept), strict=True))
    assert quantized(masked).steps
    between = dict(zip(names, (WINDOWS, kept * 0.5), strict=True))
    advice = tries_of("E227", quantized, between)[0]
    assert advice == "give ones and zeros as float32, and add (1 - kept) * -1e4 to the scores"


def test_ids_are_those_of_the_vocabulary() -> None:
    network(nn.Embedding(6, 3), torch.tensor([[0, 5]]))
    ids = np.array([[[0, 5]], [[2, 6]]])
    assert "ids of the vocabulary" in tries_of("E229", quantized, ids)[0]
    assert quantized(np.minimum(ids, 5)).steps


# --- files ----------------------------------------------------------------------------------------


def test_infinities_that_no_softmax_reads_are_numbers() -> None:
    later = torch.zeros(16).masked_fill(torch.arange(16) > 9, -torch.inf)
    network(lambda x: (x + later).amax(-1))
    first, second = tries_of("E112", quantized)
    assert first.endswith("fill with the minimum: torch.where(mask, x.amin(), x)")
    network(lambda x: torch.where(later < 0, x.amin(), x).amax(-1))
    assert quantized().steps
    assert second.startswith("multiply by a mask of zeros and ones for a sum")
    network(lambda x: (x * (later == 0)).sum(-1))
    assert quantized().steps
