// SPDX-License-Identifier: Apache-2.0
// The external RAM behind two controllers: GAP9's octospi (uDMA v4, peripheral 13), which holds one
// transfer, and pulp-open's hyper (uDMA v3, peripheral 8), whose slots queue up. One transfer at a time moves.
#include <string.h>

#include "devices.h"

enum { OCTOSPI = -1 }; // in a job's slot

static L3 *l3(Machine *m) { return &m->devices->l3; }

// From its start to its end. `factor`: cycles of a cycle on the bus; `latency`: the RAM's, on the bus.
static Cycle cycles_of(const Machine *m, bool read, uint32_t bytes, uint32_t factor, Cycle latency)
{
    const Chip *chip = &m->chip;
    const Cycle data = ((uint64_t)chip->l3_cycles_per_byte_x256 * bytes + 255) / 256;
    const Cycle bus = chip->l3_start_cycles + (chip->l3_bus_start_cycles + latency + data) * factor;
    if (read) return bus;
    const Cycle words = (bytes + 3) / 4, late = chip->l3_write_start_cycles;
    const Cycle fetched = late + 1 + words * chip->l3_write_word_cycles;
    return bus + late > fetched ? bus + late : fetched;
}

// Of hyper's slots, or OCTOSPI.
static bool slot_busy(const L3 *l, int slot)
{
    for (uint32_t n = 0; n < l->jobs; n++)
        if (l->job[(l->first + n) % L3_DEPTH].slot == slot) return true;
    return false;
}

static void begin(Machine *m, Cycle at)
{
    L3 *l = l3(m);
    L3Job *job = &l->job[l->first];
    job->start = at;
    schedule(m, ACTOR_L3, at + job->cycles);
}

static void check_job(const Access *a, const L3Job *job)
{
    const Chip *chip = &a->c->m->chip;
    const uint32_t l2 = job->l2 - chip->l2_base;
    if (!job->bytes) misused(a, FAULT_DMA, "an L3 transfer of no bytes");
    if (l2 >= chip->l2_bytes || job->bytes > chip->l2_bytes - l2)
        misused(a, FAULT_DMA, "an L3 transfer that is not all inside L2");
    if (job->l3 >= chip->l3_bytes || job->bytes > chip->l3_bytes - job->l3)
        misused(a, FAULT_DMA, "an L3 transfer that is not all inside L3");
    if (l3(a->c->m)->jobs >= chip->l3_queue)
        misused(a, FAULT_DMA, "more L3 transfers than the controller queues");
    watch_l2_job(a, job);
}

static void submit(const Access *a, L3Job job)
{
    Machine *m = a->c->m;
    L3 *l = l3(m);
    check_job(a, &job);
    l->job[(l->first + l->jobs++) % L3_DEPTH] = job;
    if (l->jobs == 1) begin(m, a->c->t);
}

static void move(Machine *m, const L3Job *job)
{
    DeviceCounts *counts = &m->devices->counts;
    uint8_t *l2 = memory_at(m, job->l2, job->bytes), *outside = m->l3 + job->l3;
    if (job->read) {
        memcpy(l2, outside, job->bytes);
        memory_written(m, job->l2, job->bytes);
        counts->l3_read_bytes += job->bytes;
    } else {
        memcpy(outside, l2, job->bytes);
        counts->l3_written_bytes += job->bytes;
    }
    counts->l3_transfers++;
    counts->l3_busy_cycles += m->now - job->start;
    trace_transfer(m, job->read ? 2 : 3, job->start, m->now, job->bytes, job->l3);
}

// ---- octospi, uDMA v4

enum {
    V4_RX = 0x00,
    V4_TX = 0x04,
    V4_MODE = 0x08,
    V4_ADDRESS = 0x0c,
    V4_SIZE = 0x10,
    V4_START = 0x14,
    V4_OUTSIDE = 0x20,
    V4_TIMING = 0x24,
    V4_MBA0 = 0x28,
    V4_MBA1 = 0x2c,
    V4_BURST = 0x5c,
    V4_IRQ = 0x60,
    V4_CLOCK = 0x64
};
enum { START_READ = 1, START_VALID = 2, LINEAR = 64, CLOCK_MASK = 0xff };
enum { PERIPHERAL_V3 = 8, PERIPHERAL_V4 = 13 }; // of the uDMA

static uint32_t v4(const Access *a, uint32_t offset) { return l3(a->c->m)->v4[offset / 4]; }

void l3_due(Machine *m)
{
    L3 *l = l3(m);
    const L3Job job = l->job[l->first];
    move(m, &job);
    l->first = (l->first + 1) % L3_DEPTH;
    l->jobs--;
    if (l->jobs) begin(m, m->now);
    if (job.slot == OCTOSPI && l->v4[V4_IRQ / 4] & 1) raise_interrupt(m, IRQ_L3, m->now);
}

static void check_running(const Access *a) { udma_check(a, PERIPHERAL_V4, "the L3 controller"); }

uint32_t octospi_load(const Access *a)
{
    check_running(a);
    return a->offset == V4_START ? v4(a, V4_START) & START_READ : v4(a, a->offset);
}

static void v4_start(const Access *a, uint32_t value)
{
    // The platform replaces the transfer that moves, and says nothing (Hyper_periph::enqueue_transfer).
    if (slot_busy(l3(a->c->m), OCTOSPI))
        misused(a, FAULT_DMA, "an L3 transfer begun before the end of the last one, which it replaces");
    const uint32_t divider = v4(a, V4_CLOCK) & CLOCK_MASK;
    const bool read = value & START_READ;
    if (v4(a, read ? V4_RX : V4_TX) >= LINEAR)
        misused(a, FAULT_DMA, "an L3 transfer by an address generator of two dimensions");
    const uint32_t bytes = v4(a, V4_SIZE), factor = divider ? 2 * divider : 1;
    const Machine *m = a->c->m;
    submit(a,
           (L3Job){read, OCTOSPI, v4(a, V4_ADDRESS), v4(a, V4_OUTSIDE) - v4(a, V4_MBA0), bytes,
                   cycles_of(m, read, bytes, factor, m->chip.l3_octospi_latency_cycles), 0});
}

void octospi_store(const Access *a, uint32_t value)
{
    check_running(a);
    l3(a->c->m)->v4[a->offset / 4] = value;
    if (a->offset == V4_START && value & START_VALID) v4_start(a, value);
}

// ---- hyper, uDMA v3

enum {
    RX_ADDRESS = 0x00,
    RX_SIZE = 0x04,
    RX_START = 0x08,
    TX_ADDRESS = 0x0c,
    TX_SIZE = 0x10,
    TX_START = 0x14,
    COMMAND = 0x18,
    OUTSIDE = 0x1c,
    BUSY = 0x24,
    LINES = 0x28,
    SLOT_BYTES = 0x80,
    START_ENABLE = 1 << 4
};
enum { LATENCY = 0x04, LATENCY_ADD = 0x08, MEMORY_SELECT = 0x20, ALLOCATE = 0x24 };

static uint32_t *slot_of(const Access *a)
{
    const uint32_t slot = a->offset / SLOT_BYTES;
    if (slot >= a->c->m->chip.l3_slots) no_register(a);
    return l3(a->c->m)->slot[slot];
}

uint32_t hyper_load(const Access *a)
{
    const uint32_t *registers = slot_of(a), at = a->offset % SLOT_BYTES;
    if (at == BUSY) return slot_busy(l3(a->c->m), (int)(a->offset / SLOT_BYTES));
    return registers[at / 4];
}

// The RAM's latency, once a transfer.
static Cycle access_cycles(const L3 *l)
{
    return (Cycle)(l->common[LATENCY / 4] & 0x1f) << (l->common[LATENCY_ADD / 4] & 1);
}

static void v3_start(const Access *a, const uint32_t *registers, bool read)
{
    const L3 *l = l3(a->c->m);
    if (!udma_has_clock(a->c->m, PERIPHERAL_V3))
        misused(a, FAULT_DMA, "an L3 transfer while its controller has no clock");
    if (l->common[MEMORY_SELECT / 4])
        misused(a, FAULT_DMA, "an L3 transfer with a memory other than the RAM");
    const uint32_t bytes = registers[(read ? RX_SIZE : TX_SIZE) / 4];
    const uint32_t l2 = registers[(read ? RX_ADDRESS : TX_ADDRESS) / 4];
    const uint32_t factor = a->c->m->chip.l3_hyper_bus_cycles;
    const Cycle cycles = cycles_of(a->c->m, read, bytes, factor, access_cycles(l));
    const int slot = (int)(a->offset / SLOT_BYTES);
    submit(a, (L3Job){read, slot, l2, registers[OUTSIDE / 4], bytes, cycles, 0});
}

void hyper_store(const Access *a, uint32_t value)
{
    uint32_t *registers = slot_of(a);
    const uint32_t at = a->offset % SLOT_BYTES;
    if (at >= LINES && value) misused(a, FAULT_DMA, "L3 transfers in lines are not simulated");
    registers[at / 4] = value;
    if ((at == RX_START || at == TX_START) && value & START_ENABLE) v3_start(a, registers, at == RX_START);
}

uint32_t hyper_common_load(const Access *a)
{
    return a->offset == ALLOCATE ? 0 : l3(a->c->m)->common[a->offset / 4];
}

void hyper_common_store(const Access *a, uint32_t value) { l3(a->c->m)->common[a->offset / 4] = value; }
