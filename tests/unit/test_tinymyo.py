# SPDX-License-Identifier: Apache-2.0
"""TinyMyo in the zoo: upstream's names, shapes and counts; what its embeddings do and do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from myoedge.extensions.zoo import tinymyo

# parameters, MACs in millions, input: counted on upstream's own code
COUNTED = {
    "epn": (3_572_742, 1908.6, (1, 8, 1000)),
    "db5": (3_726_389, 645.7, (1, 16, 200)),
    "db8": (4_352_517, 653.4, (1, 16, 200)),
    "pretraining": (3_567_380, 4803.0, (1, 16, 1000)),
    "small_epn": (1_793_286, 151.7, (1, 8, 200)),
    "production": (4_553_930, 1212.0, (1, 1600, 8)),
    "recognition": (4_546_982, 1210.0, (1, 1600, 8)),
    "neuromotor": (3_626_121, 834.3, (1, 16, 2000)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_upstreams(name: str) -> None:
    params, macs, shape = COUNTED[name]
    speech = name in ("production", "recognition")
    model = getattr(tinymyo, name)(**({} if speech else {"explicit": True})).eval()
    assert sum(p.numel() for p in model.parameters()) == params
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(shape))
    assert counter.get_total_flops() / 2e6 == pytest.approx(macs, rel=1e-3)


def block_names(prefix: str, attention: tuple[str, ...] = ()) -> Iterator[str]:
    """What upstream's state dict has of a block."""
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
        yield from (f"{prefix}{part}.weight", f"{prefix}{part}.bias")
    yield from (f"{prefix}{name}" for name in attention)


def test_names_of_the_encoder_are_upstreams() -> None:
    wanted = {
        "mask_token",
        *(f"patch_embedding.patch_embed.proj.{end}" for end in ("weight", "bias")),
        *(name for i in range(8) for name in block_names(f"blocks.{i}.")),
        *("norm.weight", "norm.bias", "model_head.classifier.weight", "model_head.classifier.bias"),
    }
    assert {*tinymyo.epn().state_dict()} == wanted
    assert {*tinymyo.epn(version=2).state_dict()} == {*wanted, "channel_embed"}
    shapes = {name: tuple(value.shape) for name, value in tinymyo.epn().state_dict().items()}
    assert shapes["patch_embedding.patch_embed.proj.weight"] == (192, 1, 1, 20)
    assert shapes["blocks.7.attn.qkv.weight"] == (576, 192)
    assert shapes["model_head.classifier.weight"] == (6, 8 * 192)
    assert tinymyo.epn(version=2).state_dict()["channel_embed"].shape == (1, 16, 1, 192)


def test_names_of_heads_and_variants_are_upstreams() -> None:
    db8 = {*tinymyo.db8().state_dict()}
    assert {f"model_head.regressor.{i}.weight" for i in (0, 3, 5)} < db8
    assert "model_head.decoder_pred.weight" in tinymyo.pretraining().state_dict()
    speech = tinymyo.production().state_dict()
    relative = ("attn.relative_positional.embeddings",)
    assert {*block_names("blocks.7.", relative)} < {*speech}
    assert speech["blocks.0.attn.relative_positional.embeddings"].shape == (3, 199, 64, 1)
    residual = (
        "conv1",
        "norm1",
        "conv2",
        "norm2",
        "residual_path",
        "res_norm",
        "skip.0",
        "block.0",
    )
    assert {f"conv_blocks.2.{part}.weight" for part in residual} < {*speech}
    assert {"w_raw_in.weight", "w_out.weight", "w_aux.weight"} < {*speech}
    wrist = {"conv_layer.weight", "post_conv_layer_norm.weight", "norm.weight", "projection.weight"}
    assert {*wrist, *block_names("blocks.7.")} < {*tinymyo.neuromotor().state_dict()}


@pytest.mark.parametrize("version", [1, 2])
def test_both_forms_say_the_same(version: int) -> None:
    torch.manual_seed(version)
    fused = tinymyo.small_epn(100, version=version, layers=2).eval()
    written = tinymyo.small_epn(100, version=version, layers=2, explicit=True, echo=True).eval()
    written.load_state_dict(fused.state_dict())
    x = torch.randn(1, 8, 100)
    with torch.no_grad():
        y, echo = written(x)
        torch.testing.assert_close(fused(x), y, rtol=1e-5, atol=1e-5)
    assert torch.equal(echo, x)


def test_only_version_2_knows_the_order_of_patches() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 100)
    turned = x.reshape(1, 8, 5, 20).flip(2).reshape(1, 8, 100)
    with torch.no_grad():
        for version, same in ((1, True), (2, False)):
            model = tinymyo.small_epn(100, version=version, layers=2).eval()
            assert torch.allclose(model(x), model(turned), atol=1e-5) == same


def test_distant_tokens_are_out_of_sight() -> None:
    """With more than 100 tokens a change shows 99 tokens away in one block, and not 100."""
    torch.manual_seed(0)
    model = tinymyo.recognition(1200, layers=1).eval()
    x = torch.randn(1, 1200, 8)
    moved = x.clone()
    moved[:, :8] += 1.0
    with torch.no_grad():
        changed = (model(x) - model(moved)).abs().amax(-1)[0]
    assert (changed[:100] > 0).all()
    assert (changed[110:] == 0).all()
