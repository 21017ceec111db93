// SPDX-License-Identifier: Apache-2.0
// NE16's registers: two contexts of job registers that are prepared and run in turns, a queue of
// two jobs, and an event at the end of each.
#include <stdlib.h>
#include <string.h>

#include "ne16.h"

enum {
    TRIGGER = 0x00,
    ACQUIRE = 0x04,
    STATUS = 0x0c,
    RUNNING_JOB = 0x10,
    SOFT_CLEAR = 0x14,
    FIRST_WORD = 0x20,
    IGNORED_BIT = 0x80
};
enum { CLOCK_GATE = 1 << 11 };
#define HELD 0xfffffffeu
#define FULL 0xffffffffu

static Ne16 *ne16(const Machine *m) { return m->devices->ne16; }

void ne16_reset(Ne16 *n)
{
    memset(n, 0, sizeof *n);
    n->id[0] = n->id[1] = -1;
}

Ne16 *ne16_new(void)
{
    Ne16 *n = malloc(sizeof *n);
    if (n) ne16_reset(n);
    return n;
}

uint64_t ne16_busy_until(const Machine *m, Cycle t)
{
    const Ne16 *n = ne16(m);
    const uint64_t ended = m->devices->counts.ne16_busy_cycles;
    return n->running && t > n->since ? ended + (t - n->since) : ended;
}

static uint32_t acquire(Ne16 *n)
{
    if (n->committed == NE16_CONTEXTS) return FULL;
    if (n->held) return HELD;
    n->held = true;
    n->id[n->writing] = n->next_id;
    return n->next_id++;
}

static uint32_t status(const Ne16 *n) { return (n->id[0] >= 0) | (uint32_t)(n->id[1] >= 0) << 8; }

static void trigger(const Access *a, bool starts)
{
    Machine *m = a->c->m;
    Ne16 *n = ne16(m);
    if (n->committed == NE16_CONTEXTS)
        misused(a, FAULT_NE16, "NE16 register TRIGGER: both contexts are committed already");
    if (m->chip.ne16_strict && !(m->devices->soc.cluster_clocks & CLOCK_GATE))
        misused(a, FAULT_NE16, "NE16 register TRIGGER: the engine's clock is off: bit 11 of 0x10200018 is 0");
    ne16_decode(n->word[n->writing], &n->job[n->writing]);
    ne16_check(a, n->word[n->writing], &n->job[n->writing]);
    n->held = false;
    n->writing ^= 1;
    n->committed++;
    if (n->running || n->starting || !starts) return;
    n->starting = true;
    schedule(m, ACTOR_NE16, a->c->t + m->chip.ne16_start_cycles);
}

static uint32_t *job_word(const Access *a)
{
    Ne16 *n = ne16(a->c->m);
    const uint32_t offset = a->offset & ~(uint32_t)IGNORED_BIT;
    if (offset - FIRST_WORD >= 4 * NE16_WORDS) no_register(a);
    return &n->word[n->writing][(offset - FIRST_WORD) / 4];
}

uint32_t ne16_load(const Access *a)
{
    Ne16 *n = ne16(a->c->m);
    switch (a->offset & ~(uint32_t)IGNORED_BIT) {
    case ACQUIRE: return acquire(n);
    case STATUS: return status(n);
    case RUNNING_JOB: return 0;
    default: return *job_word(a);
    }
}

void ne16_store(const Access *a, uint32_t value)
{
    switch (a->offset & ~(uint32_t)IGNORED_BIT) {
    case TRIGGER: trigger(a, value == 0); break;
    case SOFT_CLEAR: break; // nothing changes: the platform model has no such function
    default: *job_word(a) = value; break;
    }
}

// ---- running

static void begin(Machine *m, Ne16 *n)
{
    n->starting = false;
    n->running = true;
    n->since = m->now;
    n->ko = n->row = n->column = n->ki = 0;
    n->steps = n->played = n->wait = 0;
}

static void end(Machine *m, Ne16 *n, Cycle t)
{
    DeviceCounts *counts = &m->devices->counts;
    n->running = false;
    n->id[n->using] = -1;
    n->using ^= 1;
    n->committed--;
    counts->ne16_jobs++;
    counts->ne16_busy_cycles += t - n->since;
    trace_transfer(m, TRACE_NE16, n->since, t, 0, n->job[n->using ^ 1].output);
    n->starting = n->committed > 0;
    if (n->starting) schedule(m, ACTOR_NE16, t + m->chip.ne16_next_cycles);
    raise_everywhere(m, NE16_EVENT, t);
}

// Steps that nobody else can see or disturb are made at once.
void ne16_due(Machine *m)
{
    Ne16 *n = ne16(m);
    if (n->starting) begin(m, n);
    const Cycle next = next_due(m), until = next < m->limit ? next : m->limit;
    Cycle t = m->now;
    do {
        if (n->played < n->steps) t = ne16_play(m, n, t);
        else if (ne16_plan(m, n, &n->job[n->using])) t += n->step[0].before;
        else {
            end(m, n, t);
            return;
        }
    } while (t < until);
    schedule(m, ACTOR_NE16, t);
}
