# SPDX-License-Identifier: Apache-2.0
"""Models as data: two trainings of one layout, of which each takes the other's blob."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.codegen.blob import BLOB, HEAD, layout_in
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.numerics.arrays import Array
from myoedge.simulator import simulate
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.firmware.status import STATUS
from tests.firmware.two_networks import golden

SHAPE = (1, 2, 40)
LOADED, DAMAGED = STATUS["ME_OK"], STATUS["ME_DAMAGED"]
SIZE, VERSION, LAYOUT = (STATUS[f"ME_WRONG_{name}"] for name in ("SIZE", "VERSION", "LAYOUT"))


def trained(
    folder: Path, name: str, seed: int, width: int = 16, calib: Array | None = None
) -> Build:
    torch.manual_seed(seed)
    convolutions = [nn.Conv1d(2, width, 5), nn.ReLU(), nn.Conv1d(width, 16, 5), nn.GELU()]
    network = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(16 * 32, 6))
    model = save_exported(network, (torch.zeros(SHAPE),), folder / "model.pt2")
    if calib is None:
        calib = (1 + seed) * np.random.default_rng(seed).standard_normal((16, *SHAPE), np.float32)
    output = folder / name
    return myoedge.build(model, calib=calib, output=output, prefix="gesture", weights_blob=True)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("trainings")
    return trained(folder, "first", 0), trained(folder, "second", 1)


def blob_of(build: Build) -> bytes:
    return (build.folder / BLOB).read_bytes()


class BlobStruct(ctypes.Structure):
    """me_blob of me_network_info.h."""


READ = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(BlobStruct), ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32
)
VERIFY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(BlobStruct))
BlobStruct._fields_ = [
    ("bytes", ctypes.c_uint32),
    ("read", READ),
    ("verify", VERIFY),
    ("context", ctypes.c_char_p),
]


def load(build: Build, blob: bytes, verify: Callable[..., int] | None = None) -> int:
    """<prefix>_load of a blob in memory."""
    handle = build.library.handle
    handle.me_blob_in_memory.restype = BlobStruct
    given = handle.me_blob_in_memory(ctypes.c_char_p(blob), ctypes.c_uint32(len(blob)))
    if verify is not None:
        given.verify = VERIFY(verify)
    return int(getattr(handle, f"{build.prefix}_load")(ctypes.byref(given)))


def resealed(blob: bytes, at: int, change: bytes) -> bytes:
    """Changed bytes with a CRC-32 that is right again."""
    new = bytearray(blob)
    new[at : at + len(change)] = change
    new[HEAD.size - 4 : HEAD.size] = bytes(4)
    new[HEAD.size - 4 : HEAD.size] = struct.pack("<I", zlib.crc32(bytes(new)))
    return bytes(new)


def test_two_trainings_have_one_layout(trainings: tuple[Build, Build]) -> None:
    first, second = (blob_of(build) for build in trainings)
    assert first != second
    assert layout_in(first) == layout_in(second)
    texts = [(build.folder / "src" / "network.c").read_text().splitlines() for build in trainings]
    assert texts[0][2:] == texts[1][2:]  # behind the banner


def test_each_computes_with_the_other_s_blob(trainings: tuple[Build, Build]) -> None:
    first, second = trainings
    inputs = np.random.default_rng(2).integers(-128, 128, (20, *SHAPE)).astype(np.int8)
    own = [[build.run_raw([x])[0] for x in inputs] for build in trainings]
    assert not np.array_equal(own[0], own[1])
    assert load(first, blob_of(second)) == LOADED
    np.testing.assert_array_equal([first.run_raw([x])[0] for x in inputs], own[1])
    assert load(first, blob_of(first)) == LOADED
    np.testing.assert_array_equal([first.run_raw([x])[0] for x in inputs], own[0])


def test_scales_of_the_border_come_with_the_blob(trainings: tuple[Build, Build]) -> None:
    """The struct's bytes: where the old scale was, the new one is."""
    first, second = trainings
    scales = [
        [np.float32(port["scale"]).tobytes() for port in build.manifest["inputs"]]
        for build in trainings
    ]
    assert scales[0] != scales[1]
    inputs = ctypes.cast(
        ctypes.c_void_p.in_dll(first.library.handle, "gesture_info"), ctypes.c_void_p
    )
    assert inputs.value
    pointers = (ctypes.c_void_p * 5).in_dll(first.library.handle, "gesture_info")
    ports = pointers[4]  # behind name, digest, generator, format
    assert ports
    for build, wanted in ((second, scales[1]), (first, scales[0])):
        assert load(first, blob_of(build)) == LOADED
        assert wanted[0] in ctypes.string_at(ports, 48)


def test_what_is_refused_changes_nothing(trainings: tuple[Build, Build]) -> None:
    first, second = trainings
    blob = blob_of(second)
    x = np.random.default_rng(3).integers(-128, 128, SHAPE).astype(np.int8)
    before = first.run_raw([x])[0]
    wrong = {
        blob[:-1]: SIZE,
        blob[: HEAD.size - 1]: SIZE,
        b"": SIZE,
        blob + b"\0": SIZE,
        resealed(blob, 0, b"X"): VERSION,
        resealed(blob, 4, struct.pack("<I", 2)): VERSION,
        resealed(blob, 8, b"0123"): LAYOUT,
        resealed(blob, 72, struct.pack("<I", 12)): LAYOUT,
    }
    rng = np.random.default_rng(4)
    for at in rng.integers(40, len(blob), 200):  # any bit of model, length, CRC and payload
        flipped = bytearray(blob)
        flipped[at] ^= 1 << int(rng.integers(8))
        wrong[bytes(flipped)] = LAYOUT if 72 <= at < 76 else DAMAGED
    for content, status in wrong.items():
        assert load(first, content) == status
        np.testing.assert_array_equal(first.run_raw([x])[0], before)


def test_another_layout_is_refused(trainings: tuple[Build, Build], tmp_path: Path) -> None:
    other = trained(tmp_path, "wide", 0, width=24)
    assert layout_in(blob_of(other)) != layout_in(blob_of(trainings[0]))
    assert load(trainings[0], blob_of(other)) in (SIZE, LAYOUT)
    found = myoedge.diff(trainings[0], other)
    assert (found.blob_suffices, "src/network.c" in found.differing) == (False, True)
    assert "other code in src/" in str(found)
    ran = command("diff", trainings[0].folder, trainings[1].folder, cwd=tmp_path)
    assert (ran.code, "the blob suffices" in ran.out) == (0, True), ran.err
    assert not myoedge.diff(*trainings).differing
    command("diff", trainings[0].folder, other.folder, "--json", cwd=tmp_path)


C_PLUS_PLUS = """
#include <cstdio>
#include "gesture.h"
#include "library/me_crc32.h"
#include "library/me_slots.h"

static uint8_t file[1 << 20];

int main(int, char **arguments)
{
    FILE *blobs = fopen(arguments[1], "rb");
    const uint32_t bytes = (uint32_t)fread(file, 1, sizeof file, blobs);
    const me_blob blob = me_blob_in_memory(file, bytes);
    const bool is_loaded = gesture_load(&blob) == ME_OK && gesture_info.inputs[0].scale > 0;
    return is_loaded && me_crc32(0, "123456789", 9) == 0xCBF43926u && me_slots_drop ? 0 : 1;
}
"""


def test_a_program_in_c_plus_plus_takes_a_blob(
    trainings: tuple[Build, Build], tmp_path: Path
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    src = shutil.copytree(trainings[0].folder / "src", tmp_path / "src")
    subprocess.run(["make", "-s", "libnetwork.a"], cwd=src, check=True)
    (tmp_path / "main.cpp").write_text(C_PLUS_PLUS)
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-address"]
    compiler = ["g++", *strict, "-Isrc", "main.cpp", "src/libnetwork.a", "-o", "taker"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    (tmp_path / "model.blob").write_bytes(blob_of(trainings[1]))
    taker = [tmp_path / "taker", tmp_path / "model.blob"]
    assert subprocess.run(taker, check=False).returncode == 0


ON_CHIP = """
#include "blob.h"
#include "cluster.h"
#include "gesture.h"
#include "marks.h"
#include "platform.h"

volatile uint32_t me_marks[GESTURE_LAYERS + 2] ME_L1;
static int8_t found[GESTURE_OUTPUT0_BYTES];

static void on_each_core(int32_t core, void *unused)
{
    static const void *const in[] = { input };
    static void *const out[] = { found };
    (void)core, (void)unused;
    gesture_run(in, out);
}

int main(void)
{
    me_blob given = me_blob_in_memory(blob, sizeof blob - 1);
    if (gesture_load(&given) != ME_WRONG_SIZE)
        return 3;
    given.bytes++;
    if (gesture_load(&given) != ME_OK)
        return 1;
    me_cluster_run(on_each_core, 0);
    for (int32_t i = 0; i < GESTURE_OUTPUT0_BYTES; i++)
        if (found[i] != wanted[i])
            return 2;
    return 0;
}
"""


def program_with_blob(first: Build, second: Build) -> Firmware:
    """A program of one training, which takes the blob and the golden run of another."""
    src, own = first.folder / "src", ("selftest.c", "firmware/main.c", "Makefile")
    paths = {str(path.relative_to(src)): path for path in src.rglob("*") if path.is_file()}
    files = {name: path.read_text() for name, path in paths.items() if name not in own}
    data = ", ".join(map(str, blob_of(second)))
    files["blob.h"] = (
        "#include <stdint.h>\n"
        f"_Alignas(4) static const int8_t input[] = {{ {golden(second, 'input')} }};\n"
        f"static const int8_t wanted[] = {{ {golden(second, 'output')} }};\n"
        f"static const uint8_t blob[] = {{ {data} }};\n"
    )
    return link({**files, "main.c": ON_CHIP})


def test_the_chip_takes_a_blob(trainings: tuple[Build, Build], tmp_path: Path) -> None:
    made = program_with_blob(*trainings)
    check_instructions(made)
    assert simulate(made.elf, folder=tmp_path).exit_code == 0


def test_a_build_for_blobs_is_exact_and_hardly_slower(
    trainings: tuple[Build, Build], tmp_path: Path
) -> None:
    assert myoedge.validate(trainings[0], on=("host", "simulator")).difference is None
    model = trainings[0].folder.parent / "model.pt2"
    calib = np.random.default_rng(0).standard_normal((16, *SHAPE), np.float32)
    plain = myoedge.build(model, calib=calib, output=tmp_path / "plain")
    cycles = [build.report["cycles"]["total"] for build in (trainings[1], plain)]
    assert cycles[0] < 1.1 * cycles[1], cycles


def test_two_calibrations_have_one_layout_and_two_digests(
    trainings: tuple[Build, Build], tmp_path: Path
) -> None:
    """The same file with samples of another size: only scales and what follows from them differ."""
    first = trainings[0]
    calib = 3 * np.random.default_rng(5).standard_normal((16, *SHAPE), np.float32)
    other = trained(tmp_path, "other", 0, calib=calib)
    assert first.network.digest == other.network.digest, "one float network"
    blobs = [blob_of(build) for build in (first, other)]
    assert layout_in(blobs[0]) == layout_in(blobs[1])
    digests = [build.manifest["model"]["integer_digest"] for build in (first, other)]
    assert digests[0] != digests[1]
    for build, wanted in zip((first, other), digests, strict=True):
        assert build.report["model"]["integer_digest"] == wanted
        pointer = ctypes.c_char_p.in_dll(build.library.handle, "gesture_info")
        address = ctypes.cast(ctypes.pointer(pointer), ctypes.POINTER(ctypes.c_char_p))
        assert address[1] == wanted.encode(), "behind the name"
        assert f'GESTURE_DIGEST "{wanted}"' in (build.folder / "src" / "gesture.h").read_text()
        shown = command("inspect", build.folder, cwd=tmp_path).out
        for text in (shown, (build.folder / "src" / "network.c").read_text()):
            assert f"model {wanted[:16]}" in text, "titles and C banners"
    loaded = (ctypes.c_char * 65).in_dll(first.library.handle, "gesture_loaded")
    for blob, wanted in ((blobs[1], digests[1]), (blobs[0], digests[0])):
        assert load(first, blob) == LOADED
        assert loaded.value.decode() == wanted
