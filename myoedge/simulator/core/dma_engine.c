// SPDX-License-Identifier: Apache-2.0
// How the DMA (mchan) moves data, step by step: commands go from the channels to a queue for each
// direction; into L1, bursts are asked for ahead and written as they come; out of L1, one burst
// after the other is read and then written. Both directions have ports of their own to L1's banks.
#include <string.h>

#include "access.h"
#include "devices.h"

static Dma *dma(Machine *m) { return &m->devices->dma; }

void dma_queue(TransferQueue *queue, uint16_t transfer)
{
    queue->of[(queue->first + queue->used++) % DMA_DEPTH] = transfer;
}

// Takes the first transfer of a direction out of a queue, or returns -1.
static int take(const Dma *d, TransferQueue *queue, bool out)
{
    uint32_t n = 0;
    for (; n < queue->used; n++)
        if (d->transfer[queue->of[(queue->first + n) % DMA_DEPTH]].out == out) break;
    if (n == queue->used) return -1;
    const int taken = queue->of[(queue->first + n) % DMA_DEPTH];
    for (; n > 0; n--)
        queue->of[(queue->first + n) % DMA_DEPTH] = queue->of[(queue->first + n - 1) % DMA_DEPTH];
    queue->first = (queue->first + 1) % DMA_DEPTH;
    queue->used--;
    return taken;
}

static bool can_move(const Machine *m, int out)
{
    const Dma *d = &m->devices->dma;
    return d->queued[out] && d->global[out].used < m->chip.dma_global_queue;
}

// One command a step; those into L1 go first.
static void move(Machine *m)
{
    Dma *d = dma(m);
    const int out = can_move(m, 0) ? 0 : 1;
    if (!can_move(m, out)) return;
    for (uint32_t n = 0; n < CHANNELS; n++) {
        const uint32_t channel = (d->next_channel + n) % CHANNELS;
        const int transfer = take(d, &d->channel[channel].queue, out);
        if (transfer < 0) continue;
        dma_queue(&d->global[out], (uint16_t)transfer);
        d->queued[out]--;
        d->next_channel = (d->next_channel + 1) % CHANNELS;
        dma_moved(m, channel, m->now);
        return;
    }
}

static Transfer *current(Dma *d, int out)
{
    if (d->current[out] < 0) d->current[out] = take(d, &d->global[out], out);
    return d->current[out] < 0 ? NULL : &d->transfer[d->current[out]];
}

static uint32_t outer_address(const Transfer *t, uint32_t at)
{
    return t->outer + at / t->line_bytes * t->stride + at % t->line_bytes;
}

// The next burst of a transfer: it ends where a line ends.
static Burst next_burst(Machine *m, int out)
{
    Dma *d = dma(m);
    Transfer *t = &d->transfer[d->current[out]];
    const uint32_t line = t->line_bytes - t->asked % t->line_bytes;
    const uint32_t bytes = least(least(line, t->bytes - t->asked), m->chip.dma_burst_bytes);
    const Burst burst = {(uint16_t)d->current[out], t->asked, outer_address(t, t->asked), bytes, 0};
    t->asked += bytes;
    if (t->asked == t->bytes) d->current[out] = -1;
    return burst;
}

static void ask(Machine *m)
{
    Dma *d = dma(m);
    if (!current(d, 0) || d->bursts >= m->chip.dma_requests) return;
    const Burst burst = next_burst(m, 0);
    outer_access(m, false, burst.bytes, m->now); // answered at once, but others wait
    d->burst[(d->first_burst + d->bursts++) % DMA_DEPTH] = burst;
}

static void prepare(Machine *m)
{
    Dma *d = dma(m);
    if (!current(d, 1) || d->is_reading) return;
    d->reading = next_burst(m, 1);
    d->is_reading = true;
}

static void signal_channel(Machine *m, const Transfer *t, uint32_t channel)
{
    if (channel == OUTER_CHANNEL) {
        raise_everywhere(m, EVENT_DMA_OUTER, m->now);
        raise_interrupt(m, IRQ_DMA, m->now);
        return;
    }
    if (channel >= m->chip.cluster_cores) return;
    if (t->interrupt) raise_event(m, (int)channel, EVENT_DMA_INTERRUPT, m->now);
    if (t->event) raise_event(m, (int)channel, EVENT_DMA, m->now);
}

static void end_transfer(Machine *m, Transfer *t)
{
    DeviceCounts *counts = &m->devices->counts;
    counts->dma_transfers++;
    if (t->out) counts->dma_out_bytes += t->bytes;
    else counts->dma_in_bytes += t->bytes;
    t->live = false;
    if (dma(m)->lost == (int)(t - dma(m)->transfer) + 1) dma(m)->lost = 0;
    if (!--dma(m)->live) counts->dma_busy_cycles += m->now - dma(m)->busy_from;
    unwatch_transfer(m, t);
    trace_transfer(m, t->out, t->start, m->now, t->bytes, t->l1 + m->chip.l1_base);
}

// `bytes` of a transfer have arrived; an identifier's last ones raise the event.
static void arrived(Machine *m, Transfer *t, uint32_t bytes, bool is_end)
{
    uint32_t *pending = &dma(m)->pending[t->id];
    *pending -= bytes;
    if (is_end) end_transfer(m, t);
    if (*pending) return;
    for (uint32_t channel = 0; channel < CHANNELS; channel++)
        if (t->broadcast || channel == t->channel) signal_channel(m, t, channel);
}

// Whether a transfer moves no bytes, as a disturbance made it.
static bool is_lost(Dma *d, int transfer)
{
    if (d->loses_next) d->lost = transfer + 1;
    d->loses_next = false;
    return d->lost == transfer + 1;
}

// A port's bytes are mostly a word, which needs no call.
static inline void move_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes == 4) memcpy(to, from, 4);
    else memcpy(to, from, bytes);
}

// One access of a port to L1: up to the next boundary of its width. Returns its bytes.
static uint32_t beat(Machine *m, Cycle *port_free, Burst *burst)
{
    const Chip *chip = &m->chip;
    Transfer *t = &dma(m)->transfer[burst->transfer];
    const uint32_t at = burst->at + burst->done, l1 = t->l1 + at;
    const uint32_t bytes =
        least(chip->dma_port_bytes - l1 % chip->dma_port_bytes, burst->bytes - burst->done);
    *port_free = bank_access(m, chip->l1_base + l1, m->now) + 1;
    uint8_t *outside = m->l2 + (burst->outer + burst->done - chip->l2_base);
    if (!is_lost(dma(m), burst->transfer)) {
        if (t->out) move_bytes(outside, m->l1 + l1, bytes);
        else move_bytes(m->l1 + l1, outside, bytes);
    }
    t->moved += bytes;
    burst->done += bytes;
    return bytes;
}

static void write_ports(Machine *m)
{
    Dma *d = dma(m);
    for (uint32_t port = 0; port < m->chip.dma_ports && d->bursts; port++) {
        if (d->port_free[0][port] > m->now) continue;
        Burst *burst = &d->burst[d->first_burst];
        Transfer *t = &d->transfer[burst->transfer];
        const uint32_t bytes = beat(m, &d->port_free[0][port], burst);
        if (burst->done == burst->bytes) {
            d->first_burst = (d->first_burst + 1) % DMA_DEPTH;
            d->bursts--;
        }
        arrived(m, t, bytes, t->moved == t->bytes);
    }
}

static void read_ports(Machine *m)
{
    Dma *d = dma(m);
    for (uint32_t port = 0; port < m->chip.dma_ports && d->is_reading; port++) {
        if (d->port_free[1][port] > m->now) continue;
        beat(m, &d->port_free[1][port], &d->reading);
        if (d->reading.done < d->reading.bytes) continue;
        Transfer *t = &d->transfer[d->reading.transfer];
        d->is_reading = false;
        outer_access(m, true, d->reading.bytes, m->now);
        memory_written(m, d->reading.outer, d->reading.bytes);
        arrived(m, t, d->reading.bytes, t->moved == t->bytes);
    }
}

static void use_ports(Machine *m)
{
    write_ports(m);
    read_ports(m);
}

static bool is_possible(const Machine *m, int step)
{
    const Dma *d = &m->devices->dma;
    switch (step) {
    case STEP_MOVE: return can_move(m, 0) || can_move(m, 1);
    case STEP_ASK: return d->current[0] < 0 ? d->global[0].used > 0 : d->bursts < m->chip.dma_requests;
    case STEP_PREPARE: return d->current[1] < 0 ? d->global[1].used > 0 : !d->is_reading;
    default: return d->bursts || d->is_reading;
    }
}

// Sets when the steps that have become possible are due; returns when the first of all is.
static Cycle arm_steps(Machine *m, Cycle at)
{
    Dma *d = dma(m);
    Cycle next = NEVER;
    for (int step = 0; step < STEPS; step++) {
        if (d->due[step] == NEVER && is_possible(m, step)) d->due[step] = at + m->chip.dma_step_cycles;
        if (d->due[step] < next) next = d->due[step];
    }
    return next;
}

static void plan(Machine *m, Cycle next)
{
    if (next == NEVER) unschedule(m, ACTOR_DMA);
    else schedule(m, ACTOR_DMA, next);
}

void dma_arm(Machine *m, Cycle at) { plan(m, arm_steps(m, at)); }

static Cycle make_steps(Machine *m)
{
    static void (*const STEP[STEPS])(Machine *) = {move, ask, prepare, use_ports};
    Dma *d = dma(m);
    Cycle next = NEVER;
    for (int step = 0; step < STEPS; step++) {
        if (d->due[step] > m->now) continue;
        d->due[step] = NEVER;
        STEP[step](m);
        next = arm_steps(m, m->now);
    }
    return next;
}

// Goes on as long as nobody else is due.
void dma_due(Machine *m)
{
    Cycle next = make_steps(m);
    while (next < next_due(m) && next < m->limit) {
        m->now = next;
        next = make_steps(m);
    }
    plan(m, next);
}
