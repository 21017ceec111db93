# SPDX-License-Identifier: Apache-2.0
"""NE16: every byte and cycle of jobs recorded on GAP9's platform model, and drawn jobs against
plain convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from myoedge.errors import MyoedgeError
from myoedge.simulator import Faulted
from tests.isa.program import bne, load_constant, lw
from tests.simulator.cores import (
    DMA,
    FC,
    L1,
    L1_BYTES,
    L2,
    MASK,
    WAIT_CLEAR,
    Code,
    get,
    make,
    put,
    run,
    spin,
    until,
    wait,
)
from tests.simulator.ne16_jobs import (
    ACQUIRE,
    BASE,
    CLOCK_GATE,
    CLOCKS,
    EVENT,
    FIRST,
    NAMES,
    REFUSED,
    RUNNING_JOB,
    SOFT_CLEAR,
    STATUS,
    TRIGGER,
    ready,
    recorded,
    recorded_cycles,
    run_timed,
    write,
)
from tests.simulator.ne16_meaning import AREA_BYTES, draw
from tests.support.each import each

HELD, FULL = 0xFFFFFFFE, 0xFFFFFFFF
TAKEN = "a01_1x1_base"  # a small job, of which others are made
# ten jobs each, and the engine's recorded cycles for each of them
QUEUES = {
    "h01_same32": (147,) * 10,
    "h03_small16": (64,) * 10,
    "h05_mixed": (147, 546, 336, 342, 590, 252, 294, 546, 64, 516),
}

# ---- recorded jobs


@each("name", recorded_cycles())
def test_a_recorded_job_to_the_byte_and_to_the_cycle(name: str) -> None:
    """Without bank conflicts the formula's cycles, with them those of the job's own accesses."""
    job, figures = recorded()[name], recorded_cycles()[name]
    for contention, column in ((0, "cycles"), (1, "banked")):
        cycles, memory = run_timed(job, ne16_contention=contention)
        np.testing.assert_array_equal(memory, job.after)
        assert cycles == figures[column], column


@pytest.mark.parametrize("name", [name for name in recorded() if name.startswith(REFUSED)])
def test_what_the_platform_runs_to_no_good_is_refused(name: str) -> None:
    assert title_of(recorded()[name].registers).startswith("core 0: NE16 register ")


def memory_of(name: str) -> list[tuple[int, bytes]]:
    return [(L1, recorded()[name].before.tobytes())]


@pytest.mark.parametrize("queue", QUEUES)
def test_ten_queued_jobs_of_the_recording_follow_each_other(queue: str) -> None:
    """Two deep: each as long as alone, at least a cycle apart, and every output right."""
    jobs = [recorded()[f"{queue}_{n}"] for n in range(10)]
    memory = np.full(L1_BYTES, jobs[0].before[-1])
    for job in jobs:
        changed = job.before != job.before[-1]
        memory[changed] = job.before[changed]
    code = ready()
    for job in jobs:
        code += [*until_acquired(), *write(job.registers), *put(TRIGGER, 0)]
    code += [*wait(WAIT_CLEAR), *until(STATUS, 0)]
    elf = make({0: code}, memory=[(L1, memory.tobytes())])
    ran = run(elf, [(L1, L1_BYTES)], spans=True, chip={"ne16_contention": 0})
    after = np.frombuffer(ran.memory[0], np.uint8)
    for job in jobs:
        area = slice(job.address, job.address + len(job.outputs))
        np.testing.assert_array_equal(after[area], job.outputs)
    spans = [span for span in ran.run.spans if span.what == "ne16"]
    assert tuple(span.end - span.start for span in spans) == QUEUES[queue]
    assert all(later.start > span.end for span, later in pairwise(spans))
    assert ran.run.devices["ne16_jobs"] == 10
    assert ran.run.devices["ne16_busy_cycles"] == sum(QUEUES[queue])


def test_a_committed_job_begins_a_cycle_behind_the_one_before_it() -> None:
    job = recorded()["a19_1x1_big"].registers
    twice = [word for _ in range(2) for word in (*until_acquired(), *write(job), *put(TRIGGER, 0))]
    elf = make({0: [*ready(), *twice, *until(STATUS, 0)]}, memory=memory_of("a19_1x1_big"))
    first, second = (span for span in run(elf, spans=True).run.spans if span.what == "ne16")
    assert second.start == first.end + 1


def until_acquired() -> Code:
    """Asks for a context until there is one: identifiers are below 256."""
    shifted = 8 << 20 | 5 << 15 | 5 << 12 | 6 << 7 | 0x13  # srli t1, t0, 8
    return [*load_constant(7, ACQUIRE), lw(5, 0, 7), shifted, bne(6, 0, -8)]


# ---- registers


def test_contexts_are_acquired_held_committed_and_freed() -> None:
    """Identifiers count; a held context is told from two committed ones; STATUS goes by context."""
    job = recorded()["a19_1x1_big"].registers
    code = [*ready(), *get(STATUS, 0), *get(ACQUIRE, 1), *get(ACQUIRE, 2), *get(STATUS, 3)]
    code += [*write(job), *put(TRIGGER, 0), *get(STATUS, 4), *get(RUNNING_JOB, 5)]
    code += [*get(ACQUIRE, 6), *get(STATUS, 7), *write(job), *put(TRIGGER, 0), *get(ACQUIRE, 8)]
    code += [*wait(WAIT_CLEAR, 9), *get(STATUS, 10), *get(ACQUIRE, 11), *put(SOFT_CLEAR, 0)]
    code += [*get(STATUS, 12), *wait(WAIT_CLEAR), *get(STATUS, 13)]
    notes = run(make({0: code}, memory=memory_of("a19_1x1_big"))).notes
    assert notes[:4] == (0, 0, HELD, 1)
    assert notes[4:9] == (1, 0, 1, 0x101, FULL)
    assert notes[9:14] == (EVENT, 0x100, 2, 0x101, 1), "the second context runs, the first is held"


def test_a_context_keeps_its_registers_and_bit_7_of_addresses_is_ignored() -> None:
    """The job before the previous one is repeated by TRIGGER alone."""
    job = recorded()[TAKEN]
    code = [*ready(), *write(job.registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    code += [*put(FIRST + 4, 7), *get(FIRST + 4 + 0x80, 0), *write(job.registers)]
    code += [*put(TRIGGER, 0), *wait(WAIT_CLEAR), *get(FIRST + 4, 1)]
    code += [*put(L1 + job.address, 0), *put(TRIGGER + 0x80, 0), *wait(WAIT_CLEAR)]
    ran = run(make({0: code}, memory=memory_of(TAKEN)), [(L1, L1_BYTES)])
    assert ran.notes[:2] == (7, job.registers[1])
    np.testing.assert_array_equal(np.frombuffer(ran.memory[0], np.uint8), job.after)
    assert ran.run.devices["ne16_jobs"] == 3


def test_another_value_than_0_at_trigger_commits_only() -> None:
    job = recorded()[TAKEN].registers
    code = [*ready(), *write(job), *put(TRIGGER, 1), *spin(400), *get(STATUS, 0), *get(ACQUIRE, 1)]
    code += [*write(job), *put(TRIGGER, 0), *wait(WAIT_CLEAR), *until(STATUS, 0)]
    ran = run(make({0: code}, memory=memory_of(TAKEN)))
    assert ran.run.devices["ne16_jobs"] == 2
    assert ran.notes[1] == 0


def test_the_event_reaches_every_core() -> None:
    job = recorded()["a19_1x1_big"].registers
    lists: dict[int, Code] = {
        core: [*put(MASK, EVENT), *wait(WAIT_CLEAR, core)] for core in range(1, 9)
    }
    lists[0] = [*ready(), *write(job), *spin(600), *put(TRIGGER, 0), *wait(WAIT_CLEAR, 0)]
    notes = run(make(lists, memory=memory_of("a19_1x1_big"))).notes
    assert notes[:9] == (EVENT,) * 9


def test_the_controller_programs_it_too() -> None:
    job = recorded()[TAKEN]
    fc = [*put(CLOCKS, CLOCK_GATE), *get(CLOCKS, 0), *get(ACQUIRE, 1), *write(job.registers)]
    fc += [*put(TRIGGER, 0), *until(STATUS, 0)]
    ran = run(make({}, fc, memory_of(TAKEN)), [(L1, L1_BYTES)])
    assert ran.notes[:2] == (CLOCK_GATE, 0)
    np.testing.assert_array_equal(np.frombuffer(ran.memory[0], np.uint8), job.after)
    assert FC == 9


# ---- drawn jobs


@each("batch", range(125))
def test_drawn_jobs_are_plain_convolutions(batch: int) -> None:
    """Eight a batch, each in its own part of L1, of which every byte is compared."""
    rng = np.random.default_rng(batch)
    jobs = [draw(rng, L1 + AREA_BYTES * n) for n in range(8)]
    code = ready()
    for job in jobs:
        code += [*write(job.registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    memory = b"".join(job.before.tobytes() for job in jobs)
    ran = run(make({0: code}, memory=[(L1, memory)]), [(L1, L1_BYTES)])
    after = np.frombuffer(ran.memory[0], np.uint8).reshape(8, AREA_BYTES)
    for job, area in zip(jobs, after, strict=True):
        np.testing.assert_array_equal(area, job.after, job.text)
    assert any((job.before != job.after).any() for job in jobs)


def test_a_weight_offset_of_any_size_is_taken() -> None:
    job = recorded()[TAKEN]
    registers = changed(job.registers, WEIGHT_OFFSET=0x80000000)
    code = [*ready(), *write(registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    assert run(make({0: code}, memory=memory_of(TAKEN))).run.devices["ne16_jobs"] == 1


# ---- faults


def changed(registers: tuple[int, ...], **words: int) -> tuple[int, ...]:
    values = dict(zip(NAMES, registers, strict=True)) | words
    return tuple(values[name] for name in NAMES)


def fault_of(registers: tuple[int, ...], chip: Mapping[str, int] | None = None) -> MyoedgeError:
    code = [*ready(), *write(registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    with pytest.raises(Faulted) as caught:
        run(make({0: code}, memory=memory_of(TAKEN)), chip=chip)
    return caught.value


def title_of(registers: tuple[int, ...], chip: Mapping[str, int] | None = None) -> str:
    error = fault_of(registers, chip)
    assert error.code == "E713"
    return error.notice.title


POINTWISE = recorded()[TAKEN].registers
CONFIG = POINTWISE[23]
FILTER = changed(POINTWISE, CONFIG0=CONFIG & ~(3 << 5), SUBTILE_REM2=0, WEIGHTS_D0_STRIDE=18)
DEPTHWISE = changed(FILTER, CONFIG0=CONFIG & ~(3 << 5) | 1 << 5, SUBTILE_REM0=16 << 16 | 16)
LINEAR = changed(POINTWISE, CONFIG0=CONFIG | 1 << 7, SUBTILE_NB1=1 << 16 | 1)

# register, words of the rule, a job that breaks it
STOPPED = [
    ("CONFIG0", "stream-in needs 32-bit output", changed(POINTWISE, CONFIG0=CONFIG | 1 << 14)),
    ("FILTER_MASK", "no filter to mask", changed(POINTWISE, FILTER_MASK=1 << 8)),
    ("FILTER_MASK", "no filter to mask", changed(LINEAR, FILTER_MASK=1)),
    ("CONFIG0", "no 16-bit input in depthwise", changed(DEPTHWISE, CONFIG0=DEPTHWISE[23] | 8)),
    (
        "SUBTILE_REM0",
        "even number of input bytes",
        changed(POINTWISE, CONFIG0=CONFIG | 8, SUBTILE_REM0=32 << 16 | 7),
    ),
    (
        "SUBTILE_REM0",
        "even number of input bytes",
        changed(LINEAR, CONFIG0=LINEAR[23] | 8, SUBTILE_REM0=32 << 16 | 3),
    ),
    ("CONFIG0", "filter mode 2", changed(LINEAR, CONFIG0=LINEAR[23] & ~(3 << 5))),
    (
        "SUBTILE_REM0",
        "as many input as output channels",
        changed(DEPTHWISE, SUBTILE_REM0=16 << 16 | 8),
    ),
    ("SUBTILE_NB0", "as many input as output tiles", changed(DEPTHWISE, SUBTILE_NB0=1 << 16 | 2)),
    ("SUBTILE_NB0", "at least one tile", changed(POINTWISE, SUBTILE_NB0=1)),
    ("SUBTILE_NB1", "at least one tile", changed(POINTWISE, SUBTILE_NB1=1 << 16)),
    ("SUBTILE_REM0", "more output channels", changed(POINTWISE, SUBTILE_REM0=33 << 16 | 16)),
    ("SUBTILE_REM0", "more input channels", changed(POINTWISE, SUBTILE_REM0=32 << 16 | 17)),
    ("SUBTILE_REM1", "at most 3 rows", changed(POINTWISE, SUBTILE_REM1=4 << 16)),
    ("SUBTILE_REM2", "at most 5 rows", changed(FILTER, SUBTILE_REM2=6)),
    ("SUBTILE_REM2", "3 for 1x1", changed(POINTWISE, SUBTILE_REM2=5)),
]
MEANINGLESS = [
    ("CONFIG0", "8 or 32 bits", changed(POINTWISE, CONFIG0=CONFIG | 1 << 21)),
    ("CONFIG0", "8 or 32 bits", changed(POINTWISE, CONFIG0=CONFIG | 3 << 21)),
    ("CONFIG0", "scales of 8, 16 or 32", changed(POINTWISE, CONFIG0=CONFIG | 3 << 12)),
    ("SUBTILE_REM0", "0 input channels", changed(POINTWISE, SUBTILE_REM0=0)),
    (
        "CONFIG0",
        "at most 8 channels",
        changed(DEPTHWISE, CONFIG0=DEPTHWISE[23] | 1 << 14 | 2 << 21, OUTFEAT_D1_STRIDE=64),
    ),
    (
        "SUBTILE_NB0",
        "at most 256 inputs of 16 bits",
        changed(LINEAR, CONFIG0=LINEAR[23] | 8, SUBTILE_NB0=1 << 16 | 2),
    ),
    (
        "SUBTILE_NB1",
        "one tile of pixels with stride 2",
        changed(POINTWISE, CONFIG0=CONFIG | 1 << 8, SUBTILE_NB1=1 << 16 | 2),
    ),
]
END = L1 + L1_BYTES
OUTSIDE = [
    ("WEIGHTS_PTR", changed(POINTWISE, WEIGHTS_PTR=END - 511)),
    ("WEIGHTS_PTR", changed(POINTWISE, WEIGHTS_PTR=L2)),
    ("INFEAT_PTR", changed(POINTWISE, INFEAT_PTR=END - 143)),
    ("INFEAT_PTR", changed(POINTWISE, INFEAT_PTR=L1 - 1)),
    ("INFEAT_PTR", changed(POINTWISE, INFEAT_D1_STRIDE=0x10000)),
    ("OUTFEAT_PTR", changed(POINTWISE, OUTFEAT_PTR=END - 287)),
    ("SCALE_PTR", changed(POINTWISE, SCALE_PTR=END - 31)),
    ("SCALE_BIAS_PTR", changed(POINTWISE, SCALE_BIAS_PTR=END - 127)),
    ("SCALE_SHIFT_PTR", changed(POINTWISE, SCALE_SHIFT_PTR=END - 31, CONFIG0=CONFIG | 1 << 24)),
]


@each(("register", "rule", "registers"), STOPPED)
def test_what_stops_the_platform_is_a_fault(
    register: str, rule: str, registers: tuple[int, ...]
) -> None:
    for chip in ({}, {"ne16_strict": 0}):
        title = title_of(registers, chip)
        assert f"NE16 register {register} = 0x" in title
        assert rule in title


@pytest.mark.parametrize(("register", "rule", "registers"), MEANINGLESS)
def test_what_has_no_meaning_is_a_fault_unless_asked_for(
    register: str, rule: str, registers: tuple[int, ...]
) -> None:
    title = title_of(registers)
    assert f"NE16 register {register} = 0x{registers[NAMES.index(register)]:08x}: " in title
    assert rule in title
    code = [*ready(), *write(registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    chip = {"ne16_strict": 0}
    assert run(make({0: code}, memory=memory_of(TAKEN)), chip=chip).run.devices["ne16_jobs"] == 1


@pytest.mark.parametrize(("register", "registers"), OUTSIDE)
def test_an_address_outside_l1_is_a_fault(register: str, registers: tuple[int, ...]) -> None:
    title = title_of(registers)
    assert f"NE16 register {register} = 0x" in title
    assert "outside L1" in title


@pytest.mark.parametrize(
    "words",
    [
        {"WEIGHTS_PTR": END - 512},
        {"INFEAT_PTR": END - 144},
        {"OUTFEAT_PTR": END - 288},
        {"SCALE_PTR": END - 32},
        {"SCALE_BIAS_PTR": END - 128},
        {"INFEAT_PTR": L1_BYTES - 144},  # the alias that cores of the cluster see
        {"SUBTILE_REM0": 5 << 16 | 16, "SCALE_PTR": END - 5, "SCALE_BIAS_PTR": END - 20},
    ],
)
def test_the_last_bytes_of_l1_are_in_it(words: dict[str, int]) -> None:
    """Parameters behind the last channel are read, too, but not used."""
    registers = changed(POINTWISE, **words)
    code = [*ready(), *write(registers), *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    assert run(make({0: code}, memory=memory_of(TAKEN))).run.devices["ne16_jobs"] == 1


def test_a_job_without_the_clock_is_a_fault() -> None:
    code = [*write(POINTWISE), *put(TRIGGER, 0), *until(STATUS, 0)]
    with pytest.raises(Faulted, match="TRIGGER: the engine's clock is off: bit 11 of 0x10200018"):
        run(make({0: code}, memory=memory_of(TAKEN)))
    run(make({0: code}, memory=memory_of(TAKEN)), chip={"ne16_strict": 0})


def test_a_third_job_is_a_fault() -> None:
    code = [*ready(), *(word for _ in range(3) for word in (*write(POINTWISE), *put(TRIGGER, 1)))]
    with pytest.raises(Faulted, match="TRIGGER: both contexts are committed"):
        run(make({0: code}, memory=memory_of(TAKEN)))


@pytest.mark.parametrize("address", [BASE + 0x08, BASE + 0x18, BASE + 0x1C, BASE + 0x100])
def test_registers_that_do_not_exist_are_faults(address: int) -> None:
    for code in (get(address, 0), put(address, 0)):
        with pytest.raises(MyoedgeError, match="no register is known"):
            run(make({0: code}))


def test_bytes_of_registers_cannot_be_written() -> None:
    with pytest.raises(MyoedgeError, match="takes aligned words"):
        run(make({0: put(FIRST, 1, 1)}))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((POINTWISE[0], 512, 3 << 17), "loads bytes"),
        ((POINTWISE[1], 144, 3 << 17), "loads bytes"),
        ((POINTWISE[2], 288, 3 << 17), "stores to bytes"),
        ((POINTWISE[2], 288, 1 << 18), "stores to bytes"),
    ],
)
def test_bytes_that_a_transfer_has_yet_to_move_are_not_touched(
    words: tuple[int, int, int], what: str
) -> None:
    """Weights, inputs, and outputs from either side."""
    with pytest.raises(Faulted, match=f"NE16 {what} at 0x.* that a DMA transfer") as caught:
        run_beside_transfer(POINTWISE, *words)
    assert caught.value.code == "E705"


def run_beside_transfer(job: tuple[int, ...], at: int, size: int, command: int) -> None:
    """The job, while the second of two transfers waits for the first, of 16 KiB."""
    transfer = get(DMA, 0)
    for first, count in ((L1 + 0x10000, 0x4000), (at, size)):
        transfer += [*put(DMA, count | command), *put(DMA, first), *put(DMA, L2)]
    code = [*ready(), *write(job), *transfer, *put(TRIGGER, 0), *wait(WAIT_CLEAR)]
    run(make({0: code}, memory=memory_of(TAKEN)))


@pytest.mark.parametrize(("rows", "wide"), [(6, False), (15, False), (1, False), (6, True)])
def test_weights_behind_the_last_input_of_a_linear_job_may_be_on_their_way(
    rows: int, wide: bool
) -> None:
    """32 bytes of a plane are loaded, of which those of `rows` rows of 16 inputs count."""
    config, weights = LINEAR[23] | 8 if wide else LINEAR[23], L1 + 0x8000
    job = changed(LINEAR, SUBTILE_REM0=32 << 16 | rows, CONFIG0=config, WEIGHTS_PTR=weights)
    bits, inputs = (config & 7) + 1, rows * 16
    end = weights + 32 * bits * inputs // 8
    run_beside_transfer(job, end, 64, 3 << 17)
    with pytest.raises(Faulted, match="NE16 loads bytes"):
        run_beside_transfer(job, end - 1, 64, 3 << 17)
