# SPDX-License-Identifier: Apache-2.0
"""docs/product/firmware.md: other models and checks of an open network, on PMSIS of our own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from myoedge.backends.build import Build
from myoedge.codegen.firmware import check_instructions, link
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER
from myoedge.simulator import simulate
from tests.extensions.gap_sdk import sdk
from tests.extensions.gap_sdk.test_own_firmware import GUIDE, OURS, STAND_INS, listed_defines
from tests.firmware.test_loading import linear
from tests.firmware.test_model_blob import blob_of, resealed
from tests.firmware.two_networks import sources

MAIN = """
#include "gesture/gesture.h"
#include "me_gap.h"
#include "pmsis_runtime.h"
#include "wake/wake.h"

ME_GAP_BUFFERS(GESTURE_L1_BYTES > WAKE_L1_BYTES ? GESTURE_L1_BYTES : WAKE_L1_BYTES);
ME_GAP_MARKS(GESTURE_LAYERS);

static int verdict;
static PI_L2 _Alignas(4) int8_t scores[GESTURE_OUTPUT0_BYTES];
static me_gap wake, gesture;
#include "guide.h"
#include "blobs.h"

int32_t is_signed(const me_blob *blob)
{
    (void)blob;
    return verdict;
}

static int first_wrong(const me_gap *of, int slices)
{
    int slice = 0;
    while (slice < slices && me_check_slice(of, slice) == 0)
        slice++;
    return slice;
}

static void invert(const me_gap *of, uint32_t at)
{
    static PI_L2 _Alignas(4) uint8_t word[4];
    me_l3_base = of->l3_base;
    me_l3_fetch(at, word, 4);
    word[0] ^= 8;
    me_l3_store(at, word, 4);
}

/* The network of `wake` was built without --weights-blob. */
static int are_refused_without_options(void)
{
    me_network_info info = wake_info;
    me_gap unchecked = wake;
    const me_blob blob = me_blob_in_memory(second, sizeof second);
    info.check = 0, unchecked.of = &info;
    return me_check_slice(&unchecked, 0) == ME_FAILED
           && me_load_model(&wake, &blob) == ME_WRONG_LAYOUT;
}

static int are_intact(void)
{
    return first_wrong(&wake, WAKE_CHECK_SLICES) == WAKE_CHECK_SLICES
           && first_wrong(&gesture, GESTURE_CHECK_SLICES) == GESTURE_CHECK_SLICES;
}

int main(void)
{
    const me_gap_options first = { .l3_file = "wake.bin" }, other = { .l3_file = "gesture.bin" };
    if (me_open(&wake, &wake_info, &first) != ME_OK)
        return 89;
    if (me_open(&gesture, &gesture_info, &other) != ME_OK)
        return 90;
    if (!are_refused_without_options())
        return 88;
    if (!are_intact())
        return 91;
    if (take_model(second, sizeof second) != 0 || !are_intact())
        return 92;
    if (take_model(spoilt, sizeof spoilt) != ME_DIFFERENT) /* fails its self-test */
        return 93;
    verdict = 1;
    if (take_model(second, sizeof second) != ME_FAILED)
        return 94;
    verdict = 0;
    if (take_model(second, sizeof second) != 0)
        return 95;
    invert(&gesture, GESTURE_L3_BYTES - 4);
    if (first_wrong(&gesture, GESTURE_CHECK_SLICES) != GESTURE_CHECK_SLICES - 1)
        return 96;
    if (first_wrong(&wake, WAKE_CHECK_SLICES) != WAKE_CHECK_SLICES)
        return 97;
    invert(&gesture, GESTURE_L3_BYTES - 4);
    invert(&wake, 0);
    if (are_intact() || first_wrong(&gesture, GESTURE_CHECK_SLICES) != GESTURE_CHECK_SLICES)
        return 98;
    return is_sound(&gesture) == 0 ? 0 : 99;
}
"""


def snippets() -> str:
    """C of the guide after its complete example, in its order, without that for streams."""
    found = re.findall(r"```c\n(.*?)```", GUIDE, re.DOTALL)
    return "".join(text for text in found[1:] if "gesture_push" not in text)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build, Build]:
    folder = tmp_path_factory.mktemp("models")
    options = {"checks": True, "app": "gap-sdk", "engine": "cores"}
    wake = linear(folder, "wake", 2, prefix="wake", weights_blob=False, **options)
    return wake, linear(folder, "first", 0, **options), linear(folder, "second", 1, **options)


def test_models_and_checks_of_the_guide(builds: tuple[Build, Build, Build], tmp_path: Path) -> None:
    wake, gesture, second = builds
    blobs = {"second": blob_of(second)}
    blobs["spoilt"] = resealed(blobs["second"], len(blobs["second"]) - 9000, b"no")
    for build in (wake, gesture):
        (tmp_path / f"{build.prefix}.bin").write_bytes(build.l3_image or b"")
    lines = [
        f"_Alignas(4) static const uint8_t {name}[] = {{ {', '.join(map(str, blob))} }};\n"
        for name, blob in blobs.items()
    ]
    files = {n: t for n, t in sources(wake, gesture).items() if not n.startswith("firmware/")}
    for name in ("load.c", "self_test.c"):
        files[f"gesture/{name}"] = (gesture.folder / "src" / name).read_text()
    gap = {name: (wake.folder / SDK_FOLDER / name).read_text() for name in OURS}
    own = {**gap, **sdk.shim_for_chip(), "main.c": MAIN}
    own = sdk.defined(own, ["SHIM_CHECKS"])
    own |= {"guide.h": snippets(), "blobs.h": "".join(lines)}
    made = link({**files, **sdk.renamed_runtime(), **own}, defines=(*listed_defines(), *STAND_INS))
    check_instructions(made)
    ran = simulate(made.elf, folder=tmp_path, max_cycles=200_000_000)
    assert ran.exit_code == 0, ran.output
