# SPDX-License-Identifier: Apache-2.0
"""Published networks for sEMG, re-created from their papers and public code: what is published.

A parameter count is that of the paper or its abstract, else of the named commit, counted by torch;
None where there is none. Latency and energy are the publication's, on its own hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from tests.upstream.semg import attention as a
from tests.upstream.semg import convolutions as c
from tests.upstream.semg import sequences as s
from tests.upstream.semg import states

GESTURES, POSE, SPEECH, FORCE = "gestures", "hand pose", "silent speech", "force"
LEGS, TYPING = "legs", "typing"
SCADANN = "2020, IEEE Access 8, 177941; UlysseCoteAllard/LongTermEMG 3413e5e"
WAVELETS = "2019, arXiv 1801.07756; UlysseCoteAllard/MyoArmbandDataset 4de3efe"
HILBERT = "2020, doi 10.1007/s00521-020-05128-7; DSIP-UPatras/sEMG-hilbert-curve a1e8ee9"
ADAPTIVE = "2021, arXiv 1912.09380; UlysseCoteAllard/LongTermEMG 3413e5e"
WALKING = "2024, Zhang-HUST/Code-V1.0-of-sEMG_LMR_Method cf0fe1b"
CONTEXTS = "2019, doi 10.1109/ICASSP.2019.8683239; DSIP-UPatras/ICASSP2019_TCN cd28909"
EVENTS = "2020, doi 10.3389/fnins.2020.00637; Enny1991/dvs_emg_fusion 9a54a7e"
SPIKES = "2024, doi 10.1109/TBCAS.2024.3456552; eolabcolab/SNN-sEMG-* a7a5dee"
LIFELONG = "2024, IEEE TNSRE 32, 1965; Great-P/sEMG-master 8e103c8"
SPLASH = "2025, arXiv 2506.12356; nhadidi/SplashNet e6a3236"


@dataclass(frozen=True)
class Measured:
    """An inference as published: where, and latency or energy or both."""

    hardware: str
    latency_ms: float | None = None
    energy_uj: float | None = None


@dataclass(frozen=True)
class Published:
    """A network and what its publication says of it.

    source       year; DOI, arXiv number or journal; repository and commit
    shapes       of its inputs, for a batch of one
    parameters   published count
    differs      why ours is more than 2 % apart, a clause
    """

    name: str
    task: str
    source: str
    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    parameters: int | None = None
    differs: str = ""
    measured: Measured | None = None


PUBLISHED = (
    Published("EffiE", GESTURES, "2022, MIC-Laboratory/EffiE 5b79bbb", c.effie, ((1, 1, 8, 32),)),
    Published(
        "multi-stream CNN",
        GESTURES,
        "2019, PII S0167865517304439; increase24/awesome-sEMG-hand-gesture-recognition aa86484",
        c.multi_stream,
        ((1, 10, 20),),
        6_990_324,
    ),
    Published("EMaGer CNN", GESTURES, "SBIOML/emager-py 69f8d11", c.emager, ((1, 1, 4, 16),)),
    Published(
        "ADANN ConvNet",
        GESTURES,
        "2020, doi 10.3389/fbioe.2020.00158; "
        "UlysseCoteAllard/sEMG_handCraftedVsLearnedFeatures a783c49",
        c.adann,
        ((1, 1, 10, 151),),
        543_629,
    ),
    Published("CWT ConvNet", GESTURES, WAVELETS, c.slow_fusion, ((1, 12, 8, 7),), 29_431),
    Published("raw ConvNet", GESTURES, WAVELETS, c.enhanced_raw, ((1, 1, 8, 52),), 549_091),
    Published("MSHilbNet", GESTURES, HILBERT, c.MSHilbNet, ((1, 10, 8, 8),)),
    Published("Hilbert VGG", GESTURES, HILBERT, c.hilbert_vgg, ((1, 10, 8, 8),)),
    Published("LibEMG CNN", GESTURES, "LibEMG/libemg 285350e", c.libemg, ((1, 8, 50),)),
    Published("SCADANN", GESTURES, SCADANN, c.spectrograms, ((1, 4, 10, 24),), 205_645),
    Published("TSD network", GESTURES, SCADANN, c.descriptors, ((1, 385),), 162_013),
    Published("TADANN TCN", GESTURES, ADAPTIVE, s.tadann, ((1, 1, 10, 150),), 104_333),
    Published("Myo MLP", GESTURES, EVENTS, c.myo_features, ((1, 16),)),
    Published(
        "TCCNet 300",
        GESTURES,
        CONTEXTS,
        partial(s.tcc_net, ((32, 64), (64, 128)), attention=False),
        ((1, 10, 100),),
    ),
    Published(
        "TCCNet 2500, attention",
        GESTURES,
        CONTEXTS,
        partial(s.tcc_net, ((32, 32), (32, 32), (64, 64), (128,)), attention=True),
        ((1, 10, 300),),
    ),
    Published(
        "TEMPONet",
        GESTURES,
        "2020, doi 10.1109/TBCAS.2019.2959160",
        s.temponet,
        ((1, 14, 300),),
        460_000,
        measured=Measured("GAP8", 12.84, 900),
    ),
    Published(
        "BiTCN",
        GESTURES,
        "2021, doi 10.1007/978-981-33-4932-2_30; increase24/awesome-sEMG-* aa86484",
        s.bitcn,
        ((1, 10, 20),),
        54_716,
    ),
    Published("ED-TCN", GESTURES, "roamlab/reactemg 0d52930", s.ed_tcn, ((1, 20, 8),), 3_943_619),
    Published(
        "Bioformer",
        GESTURES,
        "2022, arXiv 2203.12932",
        a.bioformer,
        ((1, 14, 300),),
        94_200,
        measured=Measured("GAP8", 2.72, 140),
    ),
    Published(
        "TMC-ViT",
        GESTURES,
        "2022, doi 10.1109/LRA.2022.3192623; newdexterity/TMC-ViT 6b6608e",
        a.tmc_vit,
        ((1, 1, 16, 40),),
    ),
    Published(
        "TraHGR",
        GESTURES,
        "2022, arXiv 2203.16336; roamlab/reactemg 0d52930",
        a.TraHGR,
        ((1, 8, 600), (1, 25, 192)),
        623_241,
    ),
    Published(
        "ReactEMG",
        GESTURES,
        "2025, arXiv 2506.19815; roamlab/reactemg 0d52930",
        a.ReactEMG,
        ((1, 600, 8),),
        477_196,
    ),
    Published(
        "WaveFormer",
        GESTURES,
        "2025, arXiv 2506.11168; ForeverBlue816/WaveFormer 2439f5d",
        a.waveformer,
        ((1, 1, 8, 1000),),
        3_100_000,
        "the count has the two projections of its training, 592,128 parameters",
        measured=Measured("Core i7-11800H", 6.75),
    ),
    Published(
        "PhysioWave EMG",
        GESTURES,
        "2025, ForeverBlue816/PhysioWave 6f7bec7",
        a.physiowave,
        ((1, 8, 1024),),
        4_989_660,
    ),
    Published(
        "SNN, 12 gestures",
        GESTURES,
        SPIKES,
        partial(states.Spiking, 96, 64, 128, 64, 12, leak=0.97, threshold=1.25),
        ((1, 100, 96),),
        measured=Measured("iCE40 UltraPlus", energy_uj=44.6),
    ),
    Published(
        "SNN of Loihi",
        GESTURES,
        EVENTS,
        partial(states.Spiking, 16, 128, 128, 5, leak=0.75, current=0.75, threshold=1.0),
        ((1, 200, 16),),
    ),
    Published(
        "SNN, finger force",
        FORCE,
        SPIKES,
        partial(
            states.Spiking,
            256,
            64,
            128,
            64,
            1,
            leak=0.9,
            threshold=0.1,
            subtracts=True,
            fires=False,
        ),
        ((1, 100, 256),),
        measured=Measured("iCE40 UltraPlus", energy_uj=1.19),
    ),
    Published(
        "grasp synergies", FORCE, "EIRBLAST/GCNN_emg_predict d895aae", s.grasp_synergies, ((1, 8),)
    ),
    Published(
        "RaulNet V16",
        POSE,
        "2024, arXiv 2408.07817; NsquaredLab/MyoVerse e5ddb40",
        c.RaulNet,
        ((1, 2, 108, 192),),
        695_772,
    ),
    Published(
        "emg2pose tracking",
        POSE,
        "2024, facebookresearch/emg2pose 5f6f62b",
        s.PoseTracking,
        ((1, 16, 2790), (1, 20)),
        2_952_340,
    ),
    Published("kinematic TCN", POSE, LIFELONG, s.kinematic_tcn, ((1, 200, 12),), 83_464),
    Published("LCSN", POSE, LIFELONG, s.LifelongNetwork, ((1, 12, 200),), 1_434_444),
    Published(
        "Mamba regressor",
        POSE,
        "EMGMambaRegressor, public code without a paper",
        states.MambaRegressor,
        ((1, 200, 12),),
    ),
    Published(
        "MFTCAN",
        POSE,
        "2022, IEEE JBHI 26, 5461; Shurun-Wang/MFTCAN-KNR 06f93fd",
        s.MultiFeatureTCN,
        ((1, 1, 100), (1, 1, 100)),
        103_559,
    ),
    Published("locomotion CNN", LEGS, WALKING, c.locomotion_cnn, ((1, 1, 9, 128),), 140_901),
    Published(
        "locomotion CNN-BiLSTM", LEGS, WALKING, c.locomotion_bilstm, ((1, 1, 9, 128),), 455_973
    ),
    Published(
        "locomotion CNN-Transformer",
        LEGS,
        WALKING,
        c.locomotion_transformer,
        ((1, 1, 9, 128),),
        774_821,
    ),
    Published(
        "SpeechNet",
        SPEECH,
        "2026, arXiv 2603.02847; pulp-bio/SilentWear b598c24",
        c.speech_net,
        ((1, 1, 14, 400),),
        15_489,
        measured=Measured("GAP9", 2.47, 63.9),
    ),
    Published(
        "S4 speech",
        SPEECH,
        "2023, tbenst/silent_speech 177a844",
        states.StateSpeech,
        ((1, 256, 8),),
    ),
    Published(
        "SplashNet-mini",
        TYPING,
        SPLASH,
        partial(s.SplashNet, 384, (24, 24, 24, 24)),
        ((140, 1, 2, 16, 6),),
        1_376_067,
    ),
    Published(
        "SplashNet",
        TYPING,
        SPLASH,
        partial(s.SplashNet, 528, (24, 24, 48, 48)),
        ((140, 1, 2, 16, 6),),
        2_583_267,
    ),
)

MEASURED = {  # networks of the other lists
    "myoedge/TinyMyo epn, version 1": Measured("GAP9", 785, 44_910),  # arXiv 2512.15729
    "BioFoundation/FEMBA": Measured("GAP9, 2-bit weights", 1700),  # arXiv 2603.26716
    **{f"sEMG/{net.name}": net.measured for net in PUBLISHED if net.measured},
}
