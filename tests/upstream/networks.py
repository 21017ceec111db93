# SPDX-License-Identifier: Apache-2.0
"""Networks that libraries give, as their users make them, and published ones: random weights, small
inputs.

A network is a library, a name there, and a function that makes the module and example inputs.
Libraries are imported when a network of theirs is made: `make zoo` installs them in an environment
of their own. Without braindecode, which names its own, its networks are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from myoedge.extensions.zoo import all_convnet, emg2qwerty
from tests.records.tinymyo_cost import FULL
from tests.upstream import femba, wristband
from tests.upstream.semg.published import (
    FORCE,
    GESTURES,
    LEGS,
    POSE,
    PUBLISHED,
    SPEECH,
    TYPING,
    Published,
)

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]

CHANNELS, SAMPLES, RATE_HZ, CLASSES = 8, 400, 200, 5  # a window of a Myo armband: two seconds
WINDOW = {"n_chans": CHANNELS, "n_outputs": CLASSES, "n_times": SAMPLES, "sfreq": RATE_HZ}
OWN_SIZES: Mapping[str, Mapping[str, int]] = {  # of networks for other armbands, longer windows
    "EMG2QwertyNet": {"n_chans": 32, "n_outputs": 99, "n_times": 4000, "sfreq": 2000},
    "MetaNeuromotorHand": {"n_chans": 16, "n_outputs": 100, "n_times": 32000, "sfreq": 2000},
    "NeuroPose": {"n_chans": 16},
    "SensingDynamics": {"n_chans": 16},
    "SleepStagerBlanco2020": {"n_times": 3000, "sfreq": 100},
    "SleepStagerChambon2018": {"n_times": 3000, "sfreq": 100},
    "USleep": {"n_times": 3000, "sfreq": 100},
    "ZUNA": {"n_times": 384},
    "VEMG2Pose": {"n_chans": 16, "n_times": 4000, "sfreq": 2000},
    "AttnSleep": {"n_chans": 1, "n_times": 3000, "sfreq": 100},
}
PLACED = (  # networks that read where their electrodes lie
    *("DANCE", "DGCNN", "EEGSym", "SignalJEPA", "SignalJEPA_Contextual", "ZUNA"),
)
ELECTRODES = ("Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2")

# torchvision compiled for CUDA loads no operators beside a torch for CPUs, and then misses two at
# its import. None of the networks uses them.
OWN_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


@dataclass(frozen=True)
class Network:
    """A network by its library and its name there; make() needs the library."""

    library: str
    name: str
    make: Callable[[], Made]


def networks() -> Iterator[Network]:
    """All networks whose library is installed or imported late."""
    _own_operators()
    if find_spec("braindecode"):
        yield from _braindecode()
    for library, made in TABLES.items():
        for name, make in made.items():
            yield Network(library, name, make)


@cache
def _own_operators() -> None:
    for name in ("nms", "qnms"):
        OWN_OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _braindecode() -> Iterator[Network]:
    for name in sorted(import_module("braindecode.models.util").models_dict):
        yield Network("braindecode", name, partial(_braindecode_network, name))


def _braindecode_network(name: str) -> Made:
    sizes: dict[str, int] = {**WINDOW, **OWN_SIZES.get(name, {})}
    places = {"chs_info": _electrodes()} if name in PLACED else {}
    net = getattr(import_module("braindecode.models"), name)(**sizes, **places)
    return net, (torch.zeros(1, sizes["n_chans"], sizes["n_times"]),)


def _electrodes() -> Any:
    """Names and places of electrodes on the head, as mne has them."""
    mne = import_module("mne")
    made = mne.create_info(list(ELECTRODES), RATE_HZ, "eeg")
    return made.set_montage("standard_1020")["chs"]


def _luna() -> Made:
    """Upstream's network as braindecode has it, of the sizes that it was trained with."""
    net = import_module("braindecode.models").LUNA(
        n_chans=femba.ELECTRODES, n_outputs=2, n_times=femba.SAMPLES, sfreq=256
    )
    return net, (torch.zeros(1, femba.ELECTRODES, femba.SAMPLES),)


def _tsai(name: str, **options: Any) -> Made:
    cls = getattr(import_module(f"tsai.models.{options.pop('module', name)}"), name)
    return cls(CHANNELS, CLASSES, **options), (torch.zeros(1, CHANNELS, SAMPLES),)


def _timm(name: str, side: int) -> Made:
    net = import_module("timm").create_model(name, num_classes=10)
    return net, (torch.zeros(1, 3, side, side),)


def _sized_timm(name: str, side: int) -> Made:
    net = import_module("timm").create_model(name, num_classes=10, img_size=side)
    return net, (torch.zeros(1, 3, side, side),)


def _torchvision(name: str, side: int, **options: Any) -> Made:
    net = getattr(import_module("torchvision.models"), name)(
        weights=None, num_classes=10, **options
    )
    return net, (torch.zeros(1, 3, side, side),)


def _two_branches() -> Made:
    cls = import_module("tsai.models.InceptionTimePlus").MultiInceptionTimePlus
    return cls([CHANNELS // 2] * 2, CLASSES, **LENGTH), (torch.zeros(1, CHANNELS, SAMPLES),)


def _tsai_resnet(name: str, module: str) -> Made:
    net = getattr(import_module(f"tsai.models.{module}"), name)(CHANNELS, CLASSES)
    return net, (torch.zeros(1, CHANNELS, SAMPLES),)


LENGTH = {"seq_len": SAMPLES}
TSAI: Mapping[str, Callable[[], Made]] = {
    **{
        name: partial(_tsai, name)
        for name in (
            *("FCN", "FCNPlus", "ResNet", "ResNetPlus", "ResCNN", "TCN", "InceptionTime"),
            *("InceptionTimePlus", "XceptionTime", "XceptionTimePlus"),
        )
    },
    **{
        name: partial(_tsai, name, **LENGTH)
        for name in (
            *("MLP", "OmniScaleCNN", "XCM", "XCMPlus", "TST", "TSiTPlus", "gMLP"),
            *("mWDN", "TSPerceiver", "TSSequencerPlus", "PatchTST", "ConvTranPlus"),
        )
    },
    "LSTM_FCN": partial(_tsai, "LSTM_FCN", module="RNN_FCN", **LENGTH),
    "GRU_FCN": partial(_tsai, "GRU_FCN", module="RNN_FCN", **LENGTH),
    "MLSTM_FCNPlus": partial(_tsai, "MLSTM_FCNPlus", module="RNN_FCNPlus", **LENGTH),
    "GRUAttention": partial(_tsai, "GRUAttention", module="RNNAttention", **LENGTH),
    "TransformerLSTMPlus": partial(
        *(_tsai, "TransformerLSTMPlus"), module="TransformerRNNPlus", **LENGTH
    ),
    "xresnet1d18": partial(_tsai_resnet, "xresnet1d18", "XResNet1d"),
    "xresnet1d18plus": partial(_tsai_resnet, "xresnet1d18plus", "XResNet1dPlus"),
    "RNN": partial(_tsai, "RNN"),
    "LSTM": partial(_tsai, "LSTM", module="RNN"),
    "GRU": partial(_tsai, "GRU", module="RNN"),
    "RNNPlus": partial(_tsai, "RNNPlus", **LENGTH),
    "LSTMPlus": partial(_tsai, "LSTMPlus", module="RNNPlus", **LENGTH),
    "GRUPlus": partial(_tsai, "GRUPlus", module="RNNPlus", **LENGTH),
    "TSTPlus": partial(_tsai, "TSTPlus", key_padding_mask=False, **LENGTH),
    "TransformerModel": partial(_tsai, "TransformerModel"),
    "MultiInceptionTimePlus": _two_branches,
}

TIMM = {
    **{
        name: partial(_timm, name, 96)
        for name in (
            *("resnet18", "mobilenetv3_small_100", "efficientnet_lite0", "regnety_002"),
            *("ghostnet_100", "lcnet_050", "convnext_atto", "repvgg_a0"),
        )
    },
    "vit_tiny_patch16_224": partial(_sized_timm, "vit_tiny_patch16_224", 96),
    "deit_tiny_patch16_224": partial(_sized_timm, "deit_tiny_patch16_224", 96),
    "mixer_s32_224": partial(_sized_timm, "mixer_s32_224", 96),
    "mobilevit_xxs": partial(_timm, "mobilevit_xxs", 128),
    "edgenext_xx_small": partial(_timm, "edgenext_xx_small", 128),
}

TORCHVISION = {
    "resnet18": partial(_torchvision, "resnet18", 96),
    "mobilenet_v2": partial(_torchvision, "mobilenet_v2", 96),
    "mobilenet_v3_small": partial(_torchvision, "mobilenet_v3_small", 96),
    "shufflenet_v2_x0_5": partial(_torchvision, "shufflenet_v2_x0_5", 96),
    "squeezenet1_1": partial(_torchvision, "squeezenet1_1", 96),
    "mnasnet0_5": partial(_torchvision, "mnasnet0_5", 96),
    "efficientnet_b0": partial(_torchvision, "efficientnet_b0", 96),
    "regnet_y_400mf": partial(_torchvision, "regnet_y_400mf", 96),
    "googlenet": partial(_torchvision, "googlenet", 96, aux_logits=False, init_weights=False),
    "densenet121": partial(_torchvision, "densenet121", 96),
}


def _transformers(name: str, config: str, inputs: Callable[[], torch.Tensor], **sizes: Any) -> Made:
    library = import_module("transformers")
    made = getattr(library, config)(**sizes)
    return getattr(library, name)(made).eval(), (inputs(),)


def _tokens() -> torch.Tensor:
    return torch.arange(32).reshape(1, 32)


NARROW: Mapping[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
TRANSFORMERS = {
    "BertForSequenceClassification": partial(
        *(_transformers, "BertForSequenceClassification", "BertConfig", _tokens),
        **{**NARROW, "vocab_size": 1000, "max_position_embeddings": 64},
    ),
    "LlamaForCausalLM": partial(
        *(_transformers, "LlamaForCausalLM", "LlamaConfig", _tokens),
        **{**NARROW, "vocab_size": 1000, "use_cache": False, "num_key_value_heads": 2},
    ),
    "ViTForImageClassification": partial(
        *(_transformers, "ViTForImageClassification", "ViTConfig"),
        partial(torch.zeros, 1, 3, 96, 96),
        **{**NARROW, "image_size": 96},
    ),
    "Wav2Vec2ForCTC": partial(
        *(_transformers, "Wav2Vec2ForCTC", "Wav2Vec2Config", partial(torch.zeros, 1, 8000)),
        **{**NARROW, "conv_dim": (64,) * 7, "num_conv_pos_embeddings": 16},
        num_conv_pos_embedding_groups=4,
    ),
    "PatchTSTForClassification": partial(
        *(_transformers, "PatchTSTForClassification", "PatchTSTConfig"),
        partial(torch.zeros, 1, SAMPLES, CHANNELS),
        num_input_channels=CHANNELS, context_length=SAMPLES, patch_length=16, patch_stride=16,
        d_model=64, num_hidden_layers=2, num_attention_heads=4, ffn_dim=128,
    ),
}  # fmt: skip


def _tinymyo(name: str) -> Made:
    full = FULL[name]
    return full.make(**({"version": full.version} if full.version else {})), (
        torch.zeros(full.shape),
    )


OWN = {
    **{f"TinyMyo {name}": partial(_tinymyo, name) for name in FULL},
    "All-ConvNet": lambda: (all_convnet.hd(), (torch.zeros(1, 1, 16, 8),)),
    "emg2qwerty TDS": lambda: (emg2qwerty.tds(), (torch.zeros(125, 1, 2, 16, 33),)),
    "emg2qwerty LSTM": lambda: (emg2qwerty.lstm(), (torch.zeros(125, 1, 2, 16, 33),)),
}


def _published(net: Published) -> Made:
    return net.make(), tuple(torch.zeros(shape) for shape in net.shapes)


BIOFOUNDATION: Mapping[str, Callable[[], Made]] = {"FEMBA": femba.tiny, "LUNA base": _luna}
NEUROMOTOR = {
    "gestures": lambda: (wristband.Gestures(), (torch.zeros(1, 16, 420),)),
    "handwriting": lambda: (wristband.handwriting(), (torch.zeros(1, 500, 64),)),
    "wrist": lambda: (wristband.Wrist(), (torch.zeros(1, 6, 16, 16, 50),)),
}

TABLES: Mapping[str, Mapping[str, Callable[[], Made]]] = {
    "sEMG": {net.name: partial(_published, net) for net in PUBLISHED},
    "myoedge": OWN,
    "BioFoundation": BIOFOUNDATION,
    "neuromotor interface": NEUROMOTOR,
    "tsai": TSAI,
    "timm": TIMM,
    "torchvision": TORCHVISION,
    "transformers": TRANSFORMERS,
}

TASKS = {  # what a network is for, by library/name or library
    **{f"sEMG/{net.name}": net.task for net in PUBLISHED},
    **{f"myoedge/TinyMyo {name}": SPEECH for name in ("production", "recognition")},
    **{f"myoedge/emg2qwerty {name}": TYPING for name in ("LSTM", "TDS")},
    "myoedge/TinyMyo db8, version 2": POSE,
    "myoedge": GESTURES,
    "neuromotor interface/wrist": POSE,
    "neuromotor interface/handwriting": TYPING,
    "neuromotor interface": GESTURES,
    **{f"braindecode/{name}": POSE for name in ("NeuroPose", "SensingDynamics", "VEMG2Pose")},
    "braindecode/EMG2QwertyNet": TYPING,
    "braindecode/MetaNeuromotorHand": TYPING,
    "braindecode": "EEG",
    "BioFoundation": "EEG",
    "tsai": "time series",
    "timm": "images",
    "torchvision": "images",
    "transformers": "language, images, speech",
}
ORDER = (GESTURES, POSE, FORCE, LEGS, SPEECH, TYPING)  # of tasks on the page; others behind them


def task(key: str) -> str:
    """What the network library/name is for."""
    return TASKS.get(key) or TASKS.get(key.partition("/")[0], "other")
