# SPDX-License-Identifier: Apache-2.0
"""Networks that cannot be built: which error, and whether it says what and where."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch import calls
from myoedge.frontend.torch.export import example_inputs, from_exported
from myoedge.operators.import_rows import Row
from myoedge.operators.interpreter import run_float
from tests.support.oracles.torch import X1, X2, Net, agrees, seeded

pytestmark = pytest.mark.filterwarnings("ignore")


def refused(model: nn.Module, *inputs: Any, **options: Any) -> MyoedgeError:
    """The error of importing the model as it is (training or not)."""
    program = torch.export.export(model, inputs, **options)
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.exit_code == 1
    return caught.value


def of(function: Callable[..., Any], *inputs: Any, **modules: nn.Module) -> MyoedgeError:
    whole = function if modules else lambda net, *xs: function(*xs)
    return refused(Net(whole, **modules).eval(), *inputs)


CAUSAL = torch.ones(6, 6, dtype=torch.bool).triu(1)  # what is hidden: frames to come
FIRST = torch.arange(6) < 2  # and padding in front of the recording: together all of rows 0 and 1
ADDED, ADDED_FIRST = (
    torch.zeros(m.shape).masked_fill(m, -torch.inf) for m in (CAUSAL, FIRST[None])
)


def _softmax_of(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda a, x: change(x @ x.mT / 4.0).softmax(-1) @ x


def _attended(**options: Any) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda a, x: a(x, x, x, **options)[0]


def _by_mask(mask: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda a, x: F.scaled_dot_product_attention(x, x, x, mask)


PADDED = FIRST[None].repeat(2, 1)
NO_KEY = {
    "truth values": _by_mask(~(CAUSAL | FIRST)),
    "numbers": _by_mask(ADDED + ADDED_FIRST),
    "large numbers": _by_mask((CAUSAL | FIRST) * -1e9),
    "module": _attended(attn_mask=CAUSAL, key_padding_mask=PADDED, need_weights=False),
    "module with weights": _attended(attn_mask=CAUSAL, key_padding_mask=PADDED),
    "module, float masks": _attended(
        attn_mask=ADDED, key_padding_mask=ADDED_FIRST.repeat(2, 1), need_weights=False
    ),
    "module, all padded": _attended(key_padding_mask=PADDED | True, need_weights=False),
    "module, all padded, with weights": _attended(key_padding_mask=PADDED | True),
    "filled": _softmax_of(lambda s: s.masked_fill(CAUSAL | FIRST, -torch.inf)),
    "filled twice": _softmax_of(lambda s: s.masked_fill(CAUSAL, -1e9).masked_fill(FIRST, -1e9)),
    "added twice": _softmax_of(lambda s: s + ADDED + ADDED_FIRST),
    "subtracted": _softmax_of(lambda s: s + ADDED - 1e9 * FIRST[None]),
    "added before scaling": _softmax_of(lambda s: (s + (ADDED + ADDED_FIRST)) / 8.0),
    "added by head": _softmax_of(lambda s: (s[:, None] + ADDED + ADDED_FIRST).view(2, 6, 6)),
    "added in columns": _softmax_of(lambda s: (s + ADDED.mT + ADDED_FIRST.mT).mT),
}


@pytest.mark.parametrize("way", NO_KEY.values(), ids=NO_KEY)
def test_a_query_that_may_look_at_no_key_is_refused(
    way: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    error = of(lambda net, x: way(net.a, x), seeded(2, 6, 8), a=attention)
    assert error.code == "E111"
    assert "cannot be built: a query that may look at no key (" in error.notice.title
    assert "a query that may look at no key" in dict(error.notice.facts)["found"]
    assert error.notice.tries[0].startswith("leave every query a key, as its own frame")


def test_sums_of_sums_in_front_of_a_softmax_are_looked_at_once() -> None:
    """Each way back through sixty of them would be 2^60 ways."""

    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(60):
                x = x + x
            return torch.softmax(x + 1e-30 * ADDED.clamp(min=-1.0), -1)

    program = torch.export.export(Doubled().eval(), (torch.zeros(6, 6),))
    assert from_exported(program).nodes[-1].op == "softmax"


def test_a_query_that_is_left_its_own_frame_is_imported() -> None:
    """What the refusal above says to do."""
    hidden = (CAUSAL | FIRST) & ~torch.eye(6, dtype=torch.bool)
    made = nn.MultiheadAttention(8, 2, batch_first=True)
    for way in (_by_mask(~hidden), _attended(attn_mask=hidden)):
        agrees(Net(lambda net, x, way=way: way(net.a, x), a=made), seeded(2, 6, 8))


NETWORK = """
import torch
import torch.nn.functional as F
from torch import nn


class Sort(nn.Module):
    def forward(self, x):
        return x.sort(-1)[0]  # line 9


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 3, padding=1)
        self.sort = Sort()

    def forward(self, x):
        y = self.conv(x)
        y = self.sort(y)
        return x + F.relu(y)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.last = nn.Linear(17, 5)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = x.cummin(1)[0]  # line 33
        return self.last(x).cummax(1)[0]  # line 34
"""


@pytest.fixture
def user_module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "my_network.py"
    path.write_text(NETWORK)
    spec = importlib.util.spec_from_file_location("my_network", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_unsupported_operator_is_named_with_module_and_line(user_module: ModuleType) -> None:
    error = refused(user_module.Network().eval(), X1)
    assert error.code == "E111"
    assert "blocks.0.sort (my_network.py:9)" in error.notice.title
    assert "sort and 2 more" in error.notice.title
    found = dict(error.notice.facts)["found"].splitlines()
    assert found[0] == "sort, at blocks.0.sort (my_network.py:9), blocks.1.sort (my_network.py:9)"
    assert found[1] == "cummin, at my_network.py:33"
    assert found[2] == "cummax, at my_network.py:34"
    tries = "\n".join(error.notice.tries)
    assert "its input as a network output" in tries
    assert "rewrite cummax" in tries
    assert "myoedge ops" in tries


def test_what_is_supported_around_a_refused_call_is_not_blamed() -> None:
    error = of(lambda x: F.relu(x.sort(2)[0] * 2).mean(1), X1)
    assert dict(error.notice.facts)["found"].startswith("sort, at")
    assert "\n" not in dict(error.notice.facts)["found"]


def test_a_refused_use_behind_another_is_listed_too() -> None:
    error = of(lambda x: F.avg_pool3d(x.sort(2)[0][None], 2, divisor_override=3), X1)
    found = dict(error.notice.facts)["found"]
    assert "sort" in found
    assert "avg_pool3d: pooling 3-D with divisor_override" in found


UNSUPPORTED: dict[str, tuple[Callable[..., Any], str]] = {
    "cosine_similarity": (lambda x: F.cosine_similarity(x, -x, eps=0.1), "use eps=0.0001"),
    "cummax": (lambda x: x.cummax(1)[0], "rewrite cummax"),
    "topk": (lambda x: x.topk(9)[0], "move it to the host"),
    "masked_fill": (lambda x: x.masked_fill(x > 0, torch.inf), "own extreme"),
    "bilinear": (
        lambda x: F.interpolate(x[None], scale_factor=2, mode="bilinear", antialias=True),
        "without antialias",
    ),
    "stft": (
        lambda x: torch.stft(x[0], 4, window=x[0, 0, :4], center=False, return_complex=True).abs(),
        "use n_fft of at most 2,048",
    ),
    "scatter_add": (lambda x: x.scatter_add(1, torch.zeros_like(x, dtype=int), x), "F.one_hot"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_operators_come_with_what_to_use_instead(name: str) -> None:
    function, advice = UNSUPPORTED[name]
    error = of(function, X1)
    assert error.code == "E111"
    assert "test_errors_import.py" in str(error) or "torch.py" in str(error)
    assert advice in "\n".join(error.notice.tries)


def test_a_network_that_is_one_layer_is_called_so() -> None:
    program = torch.export.export(nn.ConvTranspose3d(1, 1, 2).eval(), (torch.zeros(1, 1, 4, 4, 4),))
    with pytest.raises(MyoedgeError, match="the network cannot be built: transposed conv"):
        from_exported(program)


REASONS: dict[str, tuple[Callable[[], MyoedgeError], str]] = {
    "computed weight": (lambda: of(lambda x: F.conv1d(x, x[:, :, :3]), X1), "weight must be"),
    "computed bias": (
        lambda: of(lambda x: F.conv1d(x, torch.ones(2, 6, 3), x[0, 0, :2]), X1), "bias"),
    "computed weight, from": (
        lambda: of(lambda x: F.conv1d(x, x[:, :, :3].tanh()), X1), "here .* computes it from"),
    "3-D": (lambda: of(nn.ConvTranspose3d(1, 1, 2), seeded(1, 1, 4, 4, 4)), "convolution 3-D"),
    "indices": (lambda: of(lambda x: F.max_pool1d(x, 2, return_indices=True)[1], X1), "indices"),
    "used argmax": (lambda: of(lambda x: x.argmax(1).sqrt(), X1), "indices of argmax"),
    "as integers": (lambda: of(lambda x: x.long() * 2, X1), "floats cut to integers"),
    "long softmax": (lambda: of(lambda x: x.softmax(1), torch.zeros(1, 40000)), "at most 32768"),
    "remainder": (lambda: of(lambda x: x % x.flip(0), X1), "a remainder of a division"),
    "division by zero": (lambda: of(lambda x: x / 0, X1), "division by zero"),
    "pad of infinity": (
        lambda: of(lambda x: F.pad(x, (1, 1), value=float("nan")), X1), "padding with nan"),
    "empty": (lambda: of(lambda x: F.scaled_dot_product_attention(x, x[:, :0], x[:, :0]), X1),
              "without elements"),
    "batch statistics": (
        lambda: of(lambda net, x: net.b(x), X1, b=nn.BatchNorm1d(6, track_running_stats=False)),
        "track_running_stats=False"),
    "power": (lambda: of(lambda x: x**x, X1), "exponent that is a tensor"),
    "lists apart": (lambda: of(lambda x: x[[0, 1], :, [2, 3]], X1), "not adjacent"),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_uses_that_have_no_integer_meaning_say_why(name: str) -> None:
    make, reason = REASONS[name]
    error = make()
    assert error.code == "E111"
    assert re.search(reason, dict(error.notice.facts)["found"])


def test_a_result_of_another_shape_than_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import row that leaves out a reduction would build another network."""
    whole: Row = lambda b, a, out: b.add("add", a["self"], a["target"])  # noqa: E731
    monkeypatch.setitem(calls.IMPORT, "aten.mse_loss.default", whole)
    error = of(F.mse_loss, seeded(4, 6), seeded(4, 6))
    assert error.code == "E111"
    assert "the result of its row is [4, 6], not [] as the call" in str(error)


def test_dynamic_shapes() -> None:
    batch = torch.export.Dim("batch", min=2)
    error = refused(nn.ReLU(), X1, dynamic_shapes=({0: batch},))
    assert error.code == "E110"
    assert "axis 0 of input is dynamic" in error.notice.title
    assert dict(error.notice.facts)["needs"] == "static shapes"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value: float) -> None:
    model = nn.Sequential(nn.Conv1d(6, 5, 3))
    model[0].weight.data[1, 2, 0] = value
    error = refused(model.eval(), X1)
    assert error.code == "E112"
    assert "0.weight holds 1 values" in error.notice.title
    assert "1 of 90" in str(error)


def test_constants_that_nothing_reads_are_not_judged() -> None:
    net = nn.Linear(17, 5)
    net.register_buffer("unread", torch.tensor(-torch.inf))
    agrees(net, X1)


def test_constants_that_are_not_finite() -> None:
    error = of(lambda x: x + torch.full((17,), float("-inf")), X1)
    assert error.code == "E112"
    assert "17 of 17" in str(error)


def test_infinities_that_are_clamped_among_constants_are_none() -> None:
    agrees(Net(lambda net, x: x + torch.full((17,), float("inf")).clamp(max=2.0)), X1)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Sequential(nn.Conv1d(6, 5, 3), nn.Dropout(0.5)), "dropout at 1"),
        (nn.Sequential(nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5)), "batch_norm at 1"),
        (nn.Sequential(nn.RReLU()), "rrelu at 0"),
        (nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(inplace=True)), "batch_norm at 0"),
        (nn.Sequential(nn.Conv1d(6, 5, 3), nn.Dropout(0.5), nn.ReLU(inplace=True)), "dropout"),
    ],
)
def test_training_mode(model: nn.Module, found: str) -> None:
    error = refused(model.train(), X1)
    assert error.code == "E113"
    assert found in dict(error.notice.facts)["found"]
    assert "model.eval()" in error.notice.tries[0]


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        (lambda x: F.dropout(x, 0.3), "F.dropout(x, 0.3, self.training)"),
        (F.alpha_dropout, "F.alpha_dropout(x, 0.5, self.training)"),
    ],
)
def test_a_dropout_that_eval_does_not_reach(function: Any, instead: str) -> None:
    if "alpha" in instead:  # whose default is False
        function = lambda x: F.alpha_dropout(x, training=True)  # noqa: E731
    error = of(function, X1)
    assert error.code == "E113"
    assert instead in error.notice.tries[0]
    assert "although model.eval()" in error.notice.title


class Counter(nn.Module):
    """Keeps its last window."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(2, 6, 17))

    def forward(self, x: Tensor) -> Tensor:
        y = x - self.last
        self.last.copy_(x)
        return y


class Calls(nn.Module):
    """Counts its calls, or only tells the first one from the others."""

    def __init__(self, *, once: bool) -> None:
        super().__init__()
        self.once = once
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.calls
        self.calls.copy_(torch.ones(1) if self.once else self.calls + 1)
        return y


class Table(nn.Module):
    """Writes a table in each call, always the same, before it reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(20))

    def forward(self, x: Tensor) -> Tensor:
        self.table[:17] = torch.arange(17.0).cos()
        return x * self.table[:17]


@pytest.mark.parametrize(
    ("network", "name"),
    [(Counter(), "0.last"), (Calls(once=False), "0.calls"), (Calls(once=True), "0.calls")],
)
def test_buffers_that_change(network: nn.Module, name: str) -> None:
    error = refused(nn.Sequential(network).eval(), X1)
    assert error.code == "E114"
    assert name in error.notice.title


class Chain(nn.Module):
    """Counts its calls, and only the number before is read."""

    def __init__(self, *, is_read: bool) -> None:
        super().__init__()
        self.is_read = is_read
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("before", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.before if self.is_read else x.tanh()
        self.before.copy_(self.calls)
        self.calls.add_(1)
        return y


def test_state_that_no_output_depends_on_does_not_matter() -> None:
    graph = from_exported(torch.export.export(Chain(is_read=False).eval(), (X1,)))
    found = run_float(graph, {graph.inputs[0]: X1.numpy()})[graph.outputs[0]]
    assert np.allclose(found, X1.tanh().numpy(), atol=1e-6)
    assert "0.calls" in refused(nn.Sequential(Chain(is_read=True)), X1).notice.title


def test_a_table_that_every_call_writes_anew_is_a_constant() -> None:
    graph = from_exported(torch.export.export(Table().eval(), (X1,)))
    found = run_float(graph, {graph.inputs[0]: X1.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, Table()(X1).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: torch.ones(3), "output"),
        (lambda x: (x * 2, torch.arange(4)), "output1"),
        (lambda x: (x * 2, 3), "output1"),
        (lambda x: {"y": x * 2, "count": 3}, "count"),
        (lambda x: (None, None), "the result of forward()"),
        (lambda x: (), "the result of forward()"),
    ],
)
def test_constant_outputs(function: Callable[[Tensor], Any], name: str) -> None:
    error = of(function, X1)
    assert error.code == "E115"
    assert error.notice.title.startswith(f"{name} does not depend")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint16])
def test_inputs_of_types_that_nothing_reads(dtype: torch.dtype) -> None:
    error = of(lambda x: x.abs() if x.is_complex() else x.float(), torch.ones(2, 3).to(dtype))
    assert error.code == "E116"
    assert str(dtype).removeprefix("torch.") in error.notice.title


def test_inputs_without_elements() -> None:
    error = of(lambda x: torch.cat([x.tanh(), torch.ones(2, 3)], 1), torch.ones(2, 0))
    assert error.code == "E110"
    assert error.notice.title == "input xs_0 is of no size that can be built"


def test_an_empty_cache_is_left_out() -> None:
    class Joined(torch.nn.Module):
        def forward(self, x: Tensor, cache: Tensor) -> Tensor:
            return torch.cat([cache, x], -1).tanh()

    given = (X1, X1[..., :0])
    graph = from_exported(torch.export.export(Joined().eval(), given))
    assert len(graph.inputs) == 1
    found = run_float(graph, {graph.inputs[0]: X1.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, X1.tanh().numpy(), rtol=1e-6)


def test_what_is_no_tensor_is_no_constant() -> None:
    """torch.export never writes this call; an archive may."""
    ones = torch.ones(17)
    program = torch.export.export(Net(lambda net, x: x + (ones == 1.0)).eval(), (X1,))
    (node,) = (n for n in program.graph.nodes if "aten.eq" in str(n.target))
    node.target, node.args = torch.ops.aten.equal.default, (node.args[0], node.args[0])
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert "equal: a result that is no tensor" in str(caught.value)


def test_nothing_drawn_is_computed_beforehand() -> None:
    error = of(lambda x: x + torch.bernoulli(torch.full((17,), 0.5)), X1)
    assert error.code == "E111"
    assert "bernoulli" in error.notice.title


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_of_other_widths_become_float32(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)).to(dtype)
    agrees(model, seeded(3, 8).to(dtype), tolerance=1e-5 if dtype == torch.float64 else 0.05)


def test_the_archives_example_inputs_are_float32_arrays() -> None:
    program = torch.export.export(Net(lambda net, a, b: a + b), (X2, X2.double()))
    found = example_inputs(program)
    assert found is not None
    assert [x.dtype for x in found] == [np.float32, np.float32]
    np.testing.assert_array_equal(found[0], X2.numpy())


def test_the_line_is_the_users_own_even_in_installed_modules(user_module: ModuleType) -> None:
    program = torch.export.export(user_module.Block().eval().conv, (X1,))
    assert from_exported(program).nodes[1].origin[0].source == ""
    block = user_module.Block().eval()
    block.sort = nn.Identity()
    graph = from_exported(torch.export.export(block, (X1,)))
    conv = next(node for node in graph.nodes if node.op == "conv")
    assert (conv.origin[0].path, conv.origin[0].source) == ("conv", "my_network.py:19")
    relu = next(node for node in graph.nodes if node.op == "table")
    assert (relu.origin[0].path, relu.origin[0].source) == ("", "my_network.py:21")


@pytest.mark.parametrize("shape", [(7, 7), (6,), (2, 3, 6, 6), (0, 6), ()])
def test_a_buffer_of_another_shape_than_the_graph_says_is_refused(shape: tuple[int, ...]) -> None:
    """torch.export never writes that; an archive may."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", CAUSAL.clone())

        def forward(self, x: Tensor) -> Tensor:
            return torch.where(self.mask, -1e9, x).softmax(-1)

    program = torch.export.export(Masked().eval(), (torch.zeros(1, 6, 6),))
    program.state_dict["mask"] = torch.ones(shape, dtype=torch.bool)
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code == "E109"
    assert caught.value.notice.title.startswith("mask is another tensor")
    assert dict(caught.value.notice.facts)["needs"].startswith("bool [6, 6]")
