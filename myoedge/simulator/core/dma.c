// SPDX-License-Identifier: Apache-2.0
// The DMA's registers (mchan): identifiers, and commands of three words (five: lines with a
// stride outside) that each core writes to its own channel.
#include <string.h>

#include "devices.h"

enum { COMMAND = 0x0, STATUS = 0x4 };
// The first word of a command.
enum {
    LENGTH_MASK = 0x1ffff,
    TO_L1 = 1 << 17,
    INCREMENT = 1 << 18,
    LINES_OUTSIDE = 1 << 19,
    EVENT = 1 << 20,
    INTERRUPT = 1 << 21,
    BROADCAST = 1 << 22,
    LINES_IN_L1 = 1 << 23
};
enum { WORDS = 3, WORDS_LINES = 5, ALLOCATED_SHIFT = 16 };

static Dma *dma(const Access *a) { return &a->c->m->devices->dma; }

static uint32_t lowest_free(const Access *a) { return (uint32_t)__builtin_ctz(~dma(a)->allocated); }

// The access is made again when `cause` is over.
static _Noreturn void hold(const Access *a, enum Waiting cause, bool is_store)
{
    if (is_store) a->c->counts.stores--;
    else a->c->counts.loads--;
    core_waits(a->c, cause);
    core_hold(a->c, a->i);
}

static uint32_t allocate(const Access *a, uint32_t channel)
{
    Dma *d = dma(a);
    const int core = a->c->id;
    uint32_t id = lowest_free(a);
    if (d->granted[core] >= 0) id = (uint32_t)d->granted[core];
    else if (id >= a->c->m->chip.dma_ids) {
        d->id_waiters[d->id_waiting++] = (uint8_t)core;
        hold(a, WAITS_DMA_ID, false);
    }
    d->granted[core] = -1;
    d->allocated |= 1u << id;
    d->channel[channel].id = (int)id;
    return id;
}

// The core that has waited longest for an identifier gets one that has become free.
static void grant(const Access *a)
{
    Dma *d = dma(a);
    Machine *m = a->c->m;
    while (d->id_waiting && lowest_free(a) < m->chip.dma_ids) {
        const int core = d->id_waiters[0];
        memmove(d->id_waiters, d->id_waiters + 1, --d->id_waiting);
        d->granted[core] = (int)lowest_free(a);
        d->allocated |= 1u << d->granted[core];
        core_waits(&m->core[core], NOT_WAITING);
        core_wake(&m->core[core], a->c->t);
    }
}

static void release(const Access *a, uint32_t ids)
{
    Dma *d = dma(a);
    if (ids & ~d->allocated) misused(a, FAULT_DMA, "a DMA identifier is freed that nobody holds");
    for (int id = 0; id < DMA_IDS; id++)
        if (ids >> id & 1 && d->pending[id])
            misused(a, FAULT_DMA, "a DMA identifier is freed while its transfer is under way");
    d->allocated &= ~ids;
    for (int channel = 0; channel < CHANNELS; channel++)
        if (d->channel[channel].id >= 0 && ids >> d->channel[channel].id & 1) d->channel[channel].id = -1;
    grant(a);
}

static uint32_t status(const Dma *d)
{
    uint32_t busy = 0;
    for (int id = 0; id < DMA_IDS; id++)
        busy |= (uint32_t)(d->pending[id] != 0) << id;
    return busy | d->allocated << ALLOCATED_SHIFT;
}

static Transfer *new_transfer(const Access *a, uint16_t *index)
{
    Dma *d = dma(a);
    for (uint16_t t = 0; t < TRANSFERS; t++) {
        if (d->transfer[t].live) continue;
        *index = t;
        memset(&d->transfer[t], 0, sizeof(Transfer));
        return &d->transfer[t];
    }
    misused(a, FAULT_DMA, "more DMA transfers under way than this simulator keeps");
}

// One past the last byte outside.
static uint64_t outer_end(const Transfer *t)
{
    const uint64_t last = t->bytes / t->line_bytes - 1;
    return t->outer + last * t->stride + t->line_bytes;
}

static void check_command(const Access *a, uint32_t command, const Channel *channel)
{
    const uint32_t length = command & LENGTH_MASK;
    if (channel->id < 0) misused(a, FAULT_DMA, "a DMA command without an identifier");
    if (!length) misused(a, FAULT_DMA, "a DMA transfer of no bytes");
    if (length > a->c->m->chip.dma_max_bytes)
        misused(a, FAULT_DMA, "a DMA transfer longer than the DMA takes");
    if (command & LINES_IN_L1) misused(a, FAULT_DMA, "a DMA transfer in lines on the side of L1");
    if (!(command & INCREMENT)) misused(a, FAULT_DMA, "a DMA transfer that stays at one address");
}

static uint32_t l1_offset(const Access *a, uint32_t address, uint32_t bytes)
{
    const Chip *chip = &a->c->m->chip;
    const uint32_t offset = address < chip->l1_bytes ? address : address - chip->l1_base;
    if (offset >= chip->l1_bytes || bytes > chip->l1_bytes - offset)
        misused(a, FAULT_DMA, "a DMA transfer that is not all inside L1");
    return offset;
}

static void check_lines(const Access *a, const Transfer *t)
{
    const Chip *chip = &a->c->m->chip;
    if (!t->line_bytes) misused(a, FAULT_DMA, "a DMA transfer in lines of no bytes");
    if (t->bytes % t->line_bytes)
        misused(a, FAULT_DMA, "a DMA transfer whose length is no multiple of its lines");
    if (t->outer < chip->l2_base || outer_end(t) > (uint64_t)chip->l2_base + chip->l2_bytes)
        misused(a, FAULT_DMA, "a DMA transfer that is not all inside L2 on its outer side");
}

static void read_command(const Access *a, const Channel *channel, Transfer *t)
{
    const uint32_t *words = channel->words, command = words[0];
    const bool lines = command & LINES_OUTSIDE;
    check_command(a, command, channel);
    t->bytes = command & LENGTH_MASK;
    t->out = !(command & TO_L1);
    t->event = command & EVENT;
    t->interrupt = command & INTERRUPT;
    t->broadcast = command & BROADCAST;
    t->id = (uint8_t)channel->id;
    t->l1 = l1_offset(a, words[1], t->bytes);
    t->outer = words[2];
    t->line_bytes = lines ? words[3] : t->bytes;
    t->stride = lines ? words[4] : 0;
    t->start = a->c->t;
    check_lines(a, t);
}

static void submit(const Access *a, uint32_t number)
{
    Dma *d = dma(a);
    Channel *channel = &d->channel[number];
    uint16_t index = 0;
    Transfer *t = new_transfer(a, &index);
    read_command(a, channel, t);
    t->channel = (uint8_t)number;
    watch_transfer(a, t);
    watch_l2_transfer(a, t);
    t->live = true;
    if (!d->live++) d->busy_from = a->c->t;
    d->pending[t->id] += t->bytes;
    d->queued[t->out]++;
    dma_queue(&channel->queue, index);
    dma_arm(a->c->m, a->c->t);
}

static void write_word(const Access *a, uint32_t number, uint32_t value)
{
    Channel *channel = &dma(a)->channel[number];
    if (channel->queue.used >= a->c->m->chip.dma_core_queue) {
        dma(a)->waits_channel[a->c->id] = (uint8_t)number;
        hold(a, WAITS_DMA_QUEUE, true);
    }
    channel->words[channel->used++] = value;
    const uint32_t words = channel->words[0] & LINES_OUTSIDE ? WORDS_LINES : WORDS;
    if (channel->used < words) return;
    channel->used = 0;
    submit(a, number);
}

void dma_moved(Machine *m, uint32_t channel, Cycle at)
{
    Devices *d = m->devices;
    for (int core = 0; core < CORES; core++) {
        if (d->waiting[core] != WAITS_DMA_QUEUE || d->dma.waits_channel[core] != channel) continue;
        core_waits(&m->core[core], NOT_WAITING);
        core_wake(&m->core[core], at);
    }
}

static uint32_t channel_load(const Access *a, uint32_t channel)
{
    switch (a->offset) {
    case COMMAND: return allocate(a, channel);
    case STATUS: return status(dma(a));
    default: no_register(a);
    }
}

static void channel_store(const Access *a, uint32_t channel, uint32_t value)
{
    switch (a->offset) {
    case COMMAND: write_word(a, channel, value); break;
    case STATUS: release(a, value & ((1u << DMA_IDS) - 1)); break;
    default: no_register(a);
    }
}

uint32_t dma_load(const Access *a)
{
    if (a->c->id == FC) no_register(a);
    return channel_load(a, (uint32_t)a->c->id);
}

void dma_store(const Access *a, uint32_t value)
{
    if (a->c->id == FC) no_register(a);
    channel_store(a, (uint32_t)a->c->id, value);
}

uint32_t dma_outer_load(const Access *a) { return channel_load(a, OUTER_CHANNEL); }

void dma_outer_store(const Access *a, uint32_t value) { channel_store(a, OUTER_CHANNEL, value); }
