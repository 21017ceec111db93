# SPDX-License-Identifier: Apache-2.0
"""The guide's update of a model, on a flash model: power cuts at drawn operations, models that fail
their self-test, signatures that are wrong."""

from __future__ import annotations

import ctypes
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends import host
from myoedge.backends.build import Build
from myoedge.codegen.blob import HEAD
from myoedge.numerics.arrays import Array
from myoedge.system.library import load_library
from tests.conftest import save_exported
from tests.firmware.test_model_blob import blob_of, resealed
from tests.storage.test_slots import Device

CUTS = 5000
SHAPE, RESULT = (1, 32), ((1, 5), np.int8)
GUIDE = Path(__file__).parents[2] / "docs" / "product" / "releases.md"
X = np.random.default_rng(5).integers(-128, 128, SHAPE).astype(np.int8)
YOURS = """
#include "gesture.h"

int32_t (*next_part)(void *part);
int32_t is_refused;

int run(const void *const in[], void *const out[]);
int32_t verify(const me_blob *blob);
int32_t receive(void *part);

int run(const void *const in[], void *const out[]) { return gesture_run(in, out); }

int32_t verify(const me_blob *blob) { return blob->bytes == 0 || is_refused; }

int32_t receive(void *part) { return next_part(part); }
"""
RECEIVE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)


def trained(folder: Path, name: str, seed: int) -> Build:
    """Most of its weights come from L3."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 48), nn.Linear(48, 5))
    model = save_exported(network, (torch.zeros(SHAPE),), folder / "model.pt2")
    calib = (1 + seed) * np.random.default_rng(seed).standard_normal((16, *SHAPE), np.float32)
    options = {"prefix": "gesture", "weights_blob": True, "l2": "4KiB"}
    return myoedge.build(model, calib=calib, output=folder / name, **options)  # type: ignore[arg-type]


class Product:
    """A device with the guide's code: a program, a flash, and the memory of L3."""

    def __init__(self, build: Build, folder: Path, rng: random.Random):
        shutil.copytree(build.folder / "src", folder)
        snippets = re.findall(r"```c\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        (code,) = (text for text in snippets if "me_slots.h" in text)
        (folder / "update.c").write_text(code)
        (folder / "yours.c").write_text(YOURS)
        self.library = load_library(folder)
        self.handle = self.library.handle
        self.device = Device(self.handle, 256, 4096, 3, rng)
        self.memory = ctypes.create_string_buffer(len(build.l3_image or b""))
        l3 = ctypes.c_void_p.in_dll(self.handle, "gesture_l3")
        l3.value = ctypes.addressof(self.memory)

    def start(self) -> int:
        return int(self.handle.start_model(ctypes.byref(self.device.slots)))

    def update(self, blob: bytes, cut: int | None = None) -> int:
        """Receive and take a blob; power goes in operation `cut` of the flash."""
        parts = [blob[at : at + 512] for at in range(0, len(blob), 512)]

        def receive(to: int) -> int:
            part = parts.pop(0) if parts else b""
            ctypes.memmove(to, part, len(part))
            return len(part)

        call = RECEIVE(receive)
        hook = ctypes.c_void_p.in_dll(self.handle, "next_part")
        hook.value = ctypes.cast(call, ctypes.c_void_p).value
        self.device.left = cut
        result = int(self.handle.update_model(ctypes.byref(self.device.slots)))
        self.device.left = None
        assert not self.device.misused
        return result

    def model(self) -> bytes:
        return (ctypes.c_char * 65).in_dll(self.handle, "gesture_loaded").value

    def result(self) -> Array:
        return host.run(self.library, [X], [RESULT])[0]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("slots_of_models")
    return trained(folder, "first", 0), trained(folder, "second", 1)


@pytest.fixture
def product(builds: tuple[Build, Build], tmp_path: Path) -> Product:
    """It has the first model in its flash."""
    made = Product(builds[0], tmp_path / "src", random.Random(11))
    assert made.start() == -1, "a flash that was never written"
    assert made.update(blob_of(builds[0])) == 0
    return made


def digest(blob: bytes) -> bytes:
    return bytes(HEAD.unpack_from(blob)[3]).hex().encode()


def spoilt(blob: bytes) -> bytes:
    """Intact, of the right layout, and not what was trained: its weights in L3 are others."""
    changed = resealed(blob, len(blob) - 2000, bytes(range(256)) * 4)
    return resealed(changed, 40, bytes(32))


def test_power_cuts_during_updates_leave_the_old_or_the_new_model(
    builds: tuple[Build, Build], product: Product
) -> None:
    rng, ended = random.Random(3), Counter[str]()
    blobs = [blob_of(build) for build in builds]
    results = {digest(blobs[i]): builds[i].run_raw([X])[0] for i in (0, 1)}
    assert len(product.memory) > 2000
    operations = 3 + len(blobs[0]) // 256 + 2  # erasures, pages, the head
    for _ in range(CUTS):
        old = product.model()
        new = next(blob for blob in blobs if digest(blob) != old)
        is_bad = rng.random() < 0.25
        product.update(spoilt(new) if is_bad else new, rng.randrange(operations + 2))
        product.memory[:] = bytes(len(product.memory))  # power goes, and comes
        assert product.start() == 0, "neither the old model nor the new one"
        found = product.model()
        assert found in ((old,) if is_bad else (old, digest(new)))
        ended["new" if found != old else "rolled back" if is_bad else "old"] += 1
        if sum(ended.values()) % 50 == 0:
            np.testing.assert_array_equal(product.result(), results[found])
    assert min(ended.values()) > CUTS // 50, ended


def test_a_model_that_fails_its_self_test_is_rolled_back(
    builds: tuple[Build, Build], product: Product
) -> None:
    first, second = (blob_of(build) for build in builds)
    assert product.update(spoilt(second)) == -1
    assert product.model() == digest(first)
    np.testing.assert_array_equal(product.result(), builds[0].run_raw([X])[0])
    assert product.update(second) == 0
    np.testing.assert_array_equal(product.result(), builds[1].run_raw([X])[0])
    assert product.start() == 0
    assert product.model() == digest(second)


def test_a_model_that_fails_at_a_later_start_gives_way_to_the_one_before(
    builds: tuple[Build, Build], product: Product
) -> None:
    """Written without its test, as by another program. Its slot takes the next update, so that a
    power cut leaves the one that passes."""
    first, second = (blob_of(build) for build in builds)
    for cut in range(4):
        assert product.device.save(spoilt(second)) == 0
        assert product.start() == 0
        assert product.model() == digest(first)
        product.update(second, cut)
        assert product.start() == 0
        assert product.model() == digest(first)


def test_a_wrong_signature_leaves_the_model(builds: tuple[Build, Build], product: Product) -> None:
    refuses = ctypes.c_int32.in_dll(product.handle, "is_refused")
    refuses.value = 1
    assert product.update(blob_of(builds[1])) == -1
    assert product.model() == digest(blob_of(builds[0]))
    np.testing.assert_array_equal(product.result(), builds[0].run_raw([X])[0])
    refuses.value = 0
    assert product.start() == 0
    assert product.model() == digest(blob_of(builds[0]))
    assert product.update(blob_of(builds[1])) == 0
