# SPDX-License-Identifier: Apache-2.0
"""What comes with a blob besides weights: constants in L3, initial integers of streams, a known
answer; and what may refuse it: a signature check, a memory that fails."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends import host
from myoedge.backends.build import Build
from myoedge.codegen.blob import layout_in
from myoedge.codegen.firmware import link
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.simulator import simulate
from myoedge.streaming.stream import passes
from tests.conftest import save_exported
from tests.firmware.status import STATUS
from tests.firmware.test_model_blob import (
    HEAD,
    LOADED,
    READ,
    VERIFY,
    BlobStruct,
    blob_of,
    load,
    resealed,
)
from tests.firmware.two_networks import texts

UNREADABLE, REFUSED, NO_L3, HALF, DAMAGED, DIFFERENT, FAILED = (
    STATUS[f"ME_{name}"]
    for name in ["UNREADABLE", "REFUSED", "NO_L3", "HALF_LOADED", "DAMAGED", "DIFFERENT", "FAILED"]
)
RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
LINEAR = (1, 96)


def linear(folder: Path, name: str, seed: int, **options: object) -> Build:
    """Two thirds of its weights come from L3."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(96, 192), nn.ReLU(), nn.Linear(192, 96), nn.Linear(96, 5))
    model = save_exported(network, (torch.zeros(LINEAR),), folder / "model.pt2")
    calib = (1 + seed) * np.random.default_rng(seed).standard_normal((16, *LINEAR), np.float32)
    return built(model, calib, folder / name, **{"l2": "24KiB", **options})


def streaming(folder: Path, name: str, seed: int) -> Build:
    """Convolutions and a GRU on frames; the states' zero points differ between trainings."""
    torch.manual_seed(seed)
    layers = [nn.Conv1d(4, 12, 5), nn.GELU(), nn.Conv1d(12, 8, 3), nn.Tanh()]
    model = save_exported(nn.Sequential(*layers), (torch.zeros(1, 4, 60),), folder / "model.pt2")
    noise = np.random.default_rng(seed).standard_normal((16, 1, 4, 60), np.float32)
    return built(model, (1 + seed) * (noise + seed / 2), folder / name, stream=True)


def built(model: Path, calib: Array, output: Path, **options: object) -> Build:
    options = {"prefix": "gesture", "weights_blob": True, **options}
    return myoedge.build(model, calib=calib, output=output, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def in_l3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("in_l3")
    return linear(folder, "first", 0), linear(folder, "second", 1)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("streams")
    return streaming(folder, "first", 0), streaming(folder, "second", 1)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("checked")
    return linear(folder, "first", 0, checks=True), linear(folder, "second", 1, checks=True)


class External:
    """The memory that <prefix>_l3 points to, and runs that use it."""

    def __init__(self, build: Build):
        self.build, self.image = build, build.l3_image or b""
        self.memory = ctypes.create_string_buffer(self.image, len(self.image))
        self.pointer = ctypes.c_void_p.in_dll(build.library.handle, f"{build.prefix}_l3")
        self.pointer.value = ctypes.addressof(self.memory)

    def finds_inverted_bits(self, slices: range) -> None:
        """The slices of l3.bin come last."""
        check, size = (
            getattr(self.build.library.handle, f"{self.build.prefix}_check"),
            len(self.image),
        )
        assert not any(map(check, slices))
        assert [check(i) for i in (-1, -(1 << 31), len(slices), (1 << 31) - 1)] == 4 * [FAILED]
        first = len(slices) - -(-size // 4096)
        for at in (0, 4096, size - 1):
            self.memory[at] = self.memory.raw[at] ^ 64
            assert [i for i in slices if check(i)] == [first + at // 4096]
            self.memory[at] = self.memory.raw[at] ^ 64

    def run(self, inputs: list[Array]) -> list[Array]:
        return host.run(self.build.library, inputs, self.build.output_specs)


def check_slices(build: Build) -> range:
    header = (build.folder / "src" / "gesture.h").read_text()
    return range(int(re.findall(r"GESTURE_CHECK_SLICES (\d+)", header)[0]))


def references(build: Build, inputs: list[Array]) -> list[list[Array]]:
    """The NumPy reference's outputs of integer inputs."""
    q = build.network
    (name,) = q.graph.inputs
    runs = [run_int(q.steps, q.constants, {name: x}) for x in inputs]
    return [[values[output] for output in q.graph.outputs] for values in runs]


def test_constants_in_l3_come_with_the_blob(in_l3: tuple[Build, Build]) -> None:
    first, second = in_l3
    assert layout_in(blob_of(first)) == layout_in(blob_of(second))
    assert myoedge.diff(first, second).blob_suffices
    assert len(first.l3_image or b"") > 15_000
    inputs = [
        np.random.default_rng(n).integers(-128, 128, LINEAR).astype(np.int8) for n in range(9)
    ]
    wanted = [references(build, inputs) for build in in_l3]
    external = External(first)
    for build, outputs in ((second, wanted[1]), (first, wanted[0])):
        assert load(first, blob_of(build)) == LOADED
        assert external.memory.raw == build.l3_image
        for x, output in zip(inputs, outputs, strict=True):
            np.testing.assert_array_equal(external.run([x]), output)


def test_a_host_without_memory_for_l3_takes_no_blob(in_l3: tuple[Build, Build]) -> None:
    external = External(in_l3[0])
    external.pointer.value = None
    assert load(in_l3[0], blob_of(in_l3[1])) == NO_L3


def test_initial_integers_of_a_stream_come_with_the_blob(streams: tuple[Build, Build]) -> None:
    first, second = streams
    assert myoedge.diff(first, second).blob_suffices
    fills = [[state.fill for state in build.streaming.states] for build in streams]
    assert fills[0] != fills[1]
    x = np.random.default_rng(7).integers(-128, 128, (1, 4, 90)).astype(np.int8)
    for build in (second, first):
        assert load(first, blob_of(build)) == LOADED
        (port,) = build.streaming.inputs
        wanted = np.concatenate(
            [run.ready[0] for run in passes(build.streaming, {port.name: x})], port.axis
        )
        found = [first.push(x[:, :, t], raw=True) for t in range(x.shape[2])]
        np.testing.assert_array_equal(np.concatenate(found), np.moveaxis(wanted, port.axis, 0))


def self_test(build: Build, run: object = None) -> int:
    handle = build.library.handle
    own = getattr(handle, f"{build.prefix}_run")
    specs = build.given_specs
    out = [np.zeros(shape, dtype) for shape, dtype in specs]
    addresses = (ctypes.c_void_p * len(out))(*(y.ctypes.data for y in out))
    return int(getattr(handle, f"{build.prefix}_self_test")(run or own, addresses))


@pytest.mark.parametrize("which", ["in_l3", "streams", "checked"])
def test_each_model_brings_its_known_answer(which: str, request: pytest.FixtureRequest) -> None:
    first, second = request.getfixturevalue(which)
    external = External(first) if first.l3_image else None
    for build in (first, second, first):
        assert load(first, blob_of(build)) == LOADED
        assert self_test(first) == 0
    spoilt = resealed(blob_of(second), HEAD.size, bytes(range(256)))
    assert load(first, spoilt) == LOADED, "its CRC-32 is right"
    assert self_test(first) == DIFFERENT
    assert self_test(first, RUN(lambda *_: -5)) == -5, "what a run fails with"
    assert load(first, blob_of(first)) == LOADED
    assert self_test(first) == 0
    assert external is None or external.memory.raw == first.l3_image


def test_checks_are_of_the_model_that_is_loaded(checked: tuple[Build, Build]) -> None:
    first, second = checked
    external, handle = External(first), first.library.handle
    slices = check_slices(first)
    model = (ctypes.c_uint8 * 9000).in_dll(handle, "gesture_data")
    for build in (second, first):
        assert load(first, blob_of(build)) == LOADED
        assert not any(handle.gesture_check(i) for i in slices)
        for at in (0, 5000):
            model[at] ^= 4
            assert [handle.gesture_check(i) for i in slices].index(DAMAGED) == at // 4096
            model[at] ^= 4
        external.finds_inverted_bits(slices)
    assert external.memory.raw == first.l3_image


def test_a_blob_that_a_signature_check_refuses_changes_nothing(in_l3: tuple[Build, Build]) -> None:
    first, second = in_l3
    external, asked = External(first), []

    def refuse(blob: object) -> int:
        asked.append(blob)
        return 1

    x = np.random.default_rng(1).integers(-128, 128, LINEAR).astype(np.int8)
    assert load(first, blob_of(first)) == LOADED
    before = external.run([x])
    assert load(first, blob_of(second), refuse) == REFUSED
    assert len(asked) == 1
    assert external.memory.raw == first.l3_image
    np.testing.assert_array_equal(external.run([x]), before)
    assert load(first, blob_of(second)[:-1] + b"!", refuse) == DAMAGED, "damaged: nobody is asked"
    assert len(asked) == 1
    assert load(first, blob_of(second), lambda _: 0) == LOADED
    assert external.memory.raw == second.l3_image


class Memory:
    """A blob that is read in pieces; `fails` says from which read on it fails."""

    def __init__(self, content: bytes, fails: int = 1 << 30):
        self.content, self.left, self.reads = content, fails, 0
        self.struct = BlobStruct(len(content), READ(self._read), VERIFY())

    def _read(self, _: object, at: int, to: int, size: int) -> int:
        self.reads += 1
        ctypes.memmove(to, self.content[at : at + size], size)
        return int(self.reads > self.left)


def test_a_memory_that_fails_is_reported(in_l3: tuple[Build, Build]) -> None:
    first, second = in_l3
    external = External(first)
    take, blob = first.library.handle.gesture_load, blob_of(second)
    whole = Memory(blob)
    assert take(ctypes.byref(whole.struct)) == LOADED
    half = (whole.reads + 1) // 2  # the head, then everything twice
    for fails in (0, 1, half - 1):
        assert take(ctypes.byref(Memory(blob, fails).struct)) == UNREADABLE
        assert self_test(first) == 0
    for fails in (half, whole.reads - 1):
        assert take(ctypes.byref(Memory(blob, fails).struct)) == HALF
        assert take(ctypes.byref(Memory(blob).struct)) == LOADED
        assert self_test(first) == 0
    assert external.memory.raw == second.l3_image


ON_CLUSTER = """
#include "cluster.h"
#include "gesture.h"

static const void *const *ins;
static void *const *outs;

static void on_each_core(int32_t core, void *unused)
{
    (void)core, (void)unused;
    gesture_run(ins, outs);
}

static int on_cluster(const void *const in[], void *const out[])
{
    ins = in, outs = out;
    me_cluster_run(on_each_core, 0);
    return 0;
}
"""

ON_CHIP = """
#include "host.h"
#include "marks.h"
#include "platform.h"
#include "wanted.h"

volatile uint32_t me_marks[GESTURE_LAYERS + 2] ME_L1;
static _Alignas(4) int8_t found[GESTURE_OUTPUT0_BYTES];
static int32_t file = -1;
static uint32_t place;

static int32_t read_file(const me_blob *blob, uint32_t at, void *to, uint32_t bytes)
{
    static uint8_t skipped[80];
    if (file < 0 || at < place) {
        file = me_open(blob->context, ME_READ);
        place = me_read(file, skipped, at);
    }
    place += bytes;
    return me_read(file, to, bytes) != bytes;
}

int main(void)
{
    static const void *const in[] = { input };
    static void *const out[] = { found };
    for (int32_t i = 0; i < 2; i++) {
        const me_blob blob = { sizes[i], read_file, 0, i ? "second.blob" : "first.blob" };
        if (gesture_load(&blob) != ME_OK)
            return 1;
        if (gesture_self_test(on_cluster, out) != 0)
            return 2;
        on_cluster(in, out);
        for (int32_t k = 0; k < GESTURE_OUTPUT0_BYTES; k++)
            if (found[k] != wanted[i][k])
                return 3;
    }
    const me_blob blob = { sizes[0], read_file, 0, "spoilt.blob" };
    if (gesture_load(&blob) != ME_OK)
        return 4;
    return gesture_self_test(on_cluster, out) == ME_DIFFERENT ? 0 : 4;
}
"""


def test_the_chip_takes_blobs_with_constants_in_l3(
    in_l3: tuple[Build, Build], tmp_path: Path
) -> None:
    x = np.random.default_rng(8).integers(-128, 128, LINEAR).astype(np.int8)
    rows = [references(build, [x])[0][0].ravel() for build in in_l3]
    first, second = (blob_of(build) for build in in_l3)
    blobs = {
        "first": first,
        "second": second,
        "spoilt": resealed(first, len(first) - 9000, b"no" * 400),
    }
    for name, blob in blobs.items():
        (tmp_path / f"{name}.blob").write_bytes(blob)
    lines = [
        "#include <stdint.h>",
        f"static const uint32_t sizes[] = {{ {len(first)}, {len(second)} }};",
    ]
    lines += [f"_Alignas(4) static const int8_t input[] = {{ {', '.join(map(str, x.ravel()))} }};"]
    wanted = ", ".join("{ " + ", ".join(map(str, row)) + " }" for row in rows)
    lines += [f"static const int8_t wanted[2][{rows[0].size}] = {{ {wanted} }};"]
    files = texts(in_l3[0].folder / "src", "[!s]*.[ch]", "self_test.c", "library/*", "firmware/*.*")
    own = {"wanted.h": "\n".join(lines) + "\n", "firmware/main.c": ON_CLUSTER + ON_CHIP}
    made = link({**files, **own})
    assert simulate(made.elf, folder=tmp_path).exit_code == 0


STREAM_ON_CHIP = """
#include "marks.h"
#include "platform.h"
#include "wanted.h"

volatile uint32_t me_marks[GESTURE_LAYERS + 2] ME_L1;
static _Alignas(4) int8_t found[GESTURE_PASS_READY * GESTURE_READY0_BYTES];

static int push_all(const int8_t *expected)
{
    int seen = 0;
    for (int t = 0; t < (int)(sizeof input / GESTURE_FRAME0_BYTES); t++) {
        const void *const frame[] = { input + t * GESTURE_FRAME0_BYTES };
        const int bytes = gesture_push(frame, (void *const[]){ found }) * GESTURE_READY0_BYTES;
        for (int k = 0; k < bytes; k++)
            if (seen + k >= WANTED || found[k] != expected[seen + k])
                return 3;
        seen += bytes;
    }
    return seen == WANTED ? 0 : 4;
}

int main(void)
{
    gesture_pass = on_cluster;
    for (int i = 0; i < 2; i++) {
        const me_blob blob = me_blob_in_memory(blobs[i], sizeof blobs[i]);
        if (gesture_load(&blob) != ME_OK)
            return 1;
        if (gesture_self_test(on_cluster, (void *const[]){ found }) != 0)
            return 2;
        const int wrong = push_all(wanted[i]);
        if (wrong)
            return wrong;
    }
    return 0;
}
"""


def test_a_stream_on_the_chip_takes_blobs(streams: tuple[Build, Build], tmp_path: Path) -> None:
    """Another model's first, then its own, frame by frame."""
    first, second = streams
    x = np.random.default_rng(9).integers(-128, 128, (1, 4, 70)).astype(np.int8)
    rows = []
    for build in (second, first):
        (port,) = build.streaming.inputs
        ready = [run.ready[0] for run in passes(build.streaming, {port.name: x})]
        rows.append(np.moveaxis(np.concatenate(ready, port.axis), port.axis, 0).ravel())
    assert not np.array_equal(*rows)

    def listed(values: Array) -> str:
        return "{ " + ", ".join(map(str, values)) + " }"

    blobs = [np.frombuffer(blob_of(build), np.uint8) for build in (second, first)]
    frames, size = np.moveaxis(x, 2, 0).ravel(), rows[0].size
    lines = ["#include <stdint.h>", f"#define WANTED {size}"]
    lines += [f"_Alignas(4) static const int8_t input[] = {listed(frames)};"]
    wanted = ", ".join(map(listed, rows))
    lines += [f"static const int8_t wanted[2][{size}] = {{ {wanted} }};"]
    held = ", ".join(map(listed, blobs))
    lines += [f"static const uint8_t blobs[2][{blobs[0].size}] = {{ {held} }};"]
    kinds = ("[!s]*.[ch]", "self_test.c", "stream.c", "library/*", "firmware/*.*")
    files = texts(first.folder / "src", *kinds)
    own = {"wanted.h": "\n".join(lines) + "\n", "firmware/main.c": ON_CLUSTER + STREAM_ON_CHIP}
    assert simulate(link({**files, **own}).elf, folder=tmp_path).exit_code == 0
