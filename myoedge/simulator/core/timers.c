// SPDX-License-Identifier: Apache-2.0
// Timers of two 32-bit counters each, or one of 64 bits. Those of the fabric controller count its
// clock. Prescaler and reference clock are not simulated.
#include "devices.h"

enum {
    CONFIG = 0x00,
    VALUE = 0x08,
    COMPARE = 0x10,
    START = 0x18,
    RESET = 0x20,
    END = 0x28,
    CLUSTER_TIMER = 0x10200400,
    FC_TIMER = 0x1a10b000
};
enum {
    ENABLE = 1 << 0,
    RESET_NOW = 1 << 1,
    INTERRUPT = 1 << 2,
    WRAP = 1 << 4,
    ONE_SHOT = 1 << 5,
    PRESCALE = 1 << 6,
    REFERENCE = 1 << 7
};
#define WIDE (1u << 31) // both counters as one
enum { PLAIN = 256 };   // a clock ratio of 1

static Timer *timer(Machine *m, int which) { return &m->devices->timer[which]; }

static Cycle ticks(const Machine *m, int which, Cycle t)
{
    return which == TIMER_CLUSTER ? t : (t - m->core_edge) * m->chip.fc_clock_x256 / (PLAIN * m->core_cycles);
}

// The first cycle in which the timer's clock has ticked so often.
static Cycle cycle_of(const Machine *m, int which, Cycle tick)
{
    if (which == TIMER_CLUSTER) return tick;
    return m->core_edge + (tick * PLAIN * m->core_cycles + m->chip.fc_clock_x256 - 1) / m->chip.fc_clock_x256;
}

static bool is_wide(const Timer *timer) { return timer->config[0] & WIDE; }

static uint64_t wide(const uint32_t value[2]) { return (uint64_t)value[1] << 32 | value[0]; }

static void set_wide(uint32_t value[2], uint64_t to)
{
    value[0] = (uint32_t)to;
    value[1] = (uint32_t)(to >> 32);
}

// Brings the counters to cycle t.
static void count(Machine *m, int which, Cycle t)
{
    Timer *timer = &m->devices->timer[which];
    const Cycle passed = ticks(m, which, t) - ticks(m, which, timer->since);
    timer->since = t;
    if (is_wide(timer)) {
        if (timer->config[0] & ENABLE) set_wide(timer->value, wide(timer->value) + passed);
        return;
    }
    for (int n = 0; n < 2; n++)
        if (timer->config[n] & ENABLE) timer->value[n] += (uint32_t)passed;
}

static void signal_match(Machine *m, int which, int n, Cycle t)
{
    if (which == TIMER_CLUSTER) raise_everywhere(m, EVENT_TIMER + n, t);
    else if (!power_loses_wake(m)) raise_interrupt(m, IRQ_TIMER + (which == TIMER_FC ? 0 : 2) + n, t);
}

static bool matches(const Timer *timer, int n)
{
    if (!(timer->config[n] & ENABLE)) return false;
    if (is_wide(timer)) return n == 0 && wide(timer->value) == wide(timer->compare);
    return timer->value[n] == timer->compare[n];
}

static void match(Machine *m, int which, int n, Cycle t)
{
    Timer *timer = &m->devices->timer[which];
    if (!matches(timer, n)) return;
    const uint32_t config = timer->config[n];
    if (config & WRAP && is_wide(timer)) set_wide(timer->value, 0);
    else if (config & WRAP) timer->value[n] = 0;
    if (config & ONE_SHOT) timer->config[n] &= ~(uint32_t)ENABLE;
    if (config & INTERRUPT) signal_match(m, which, n, t);
}

// When counter n reaches what it is compared with and something follows from that.
static Cycle next_match(const Machine *m, int which, int n)
{
    const Timer *timer = &m->devices->timer[which];
    const uint32_t config = timer->config[n];
    if (!(config & ENABLE) || !(config & (INTERRUPT | WRAP | ONE_SHOT))) return NEVER;
    if (is_wide(timer) && n == 1) return NEVER;
    uint64_t left = (uint32_t)(timer->compare[n] - timer->value[n]);
    if (is_wide(timer)) left = wide(timer->compare) - wide(timer->value);
    if (!left && !is_wide(timer)) left = 1ull << 32;
    if (!left || left > 1ull << 48) return NEVER; // longer than any run
    return cycle_of(m, which, ticks(m, which, timer->since) + left);
}

static void plan(Machine *m)
{
    Cycle next = NEVER;
    for (int which = 0; which < TIMERS; which++)
        for (int n = 0; n < 2; n++) {
            const Cycle when = next_match(m, which, n);
            if (when < next) next = when;
        }
    if (next == NEVER) unschedule(m, ACTOR_EVENTS);
    else schedule(m, ACTOR_EVENTS, next);
}

void timers_due(Machine *m)
{
    for (int which = 0; which < TIMERS; which++) {
        count(m, which, m->now);
        match(m, which, 0, m->now);
        match(m, which, 1, m->now);
    }
    plan(m);
}

void timers_clock(Machine *m, uint32_t core_cycles, Cycle at)
{
    count(m, TIMER_FC, at);
    count(m, TIMER_FC_SECOND, at);
    m->core_cycles = core_cycles;
    m->core_edge = core_cycles > 1 ? at : 0;
    plan(m);
}

static int timer_of(const Access *a)
{
    const uint32_t base = a->address - a->offset;
    if (base == CLUSTER_TIMER) return TIMER_CLUSTER;
    return base == FC_TIMER ? TIMER_FC : TIMER_FC_SECOND;
}

static void configure(const Access *a, Timer *timer, int n, uint32_t value)
{
    if (value & ENABLE && value & (PRESCALE | REFERENCE))
        misused(a, FAULT_REGISTER, "a timer's prescaler or reference clock is not simulated");
    timer->config[n] = value & ~(uint32_t)RESET_NOW;
    if (!(value & RESET_NOW)) return;
    if (is_wide(timer)) set_wide(timer->value, 0);
    else timer->value[n] = 0;
}

uint32_t timer_load(const Access *a)
{
    Machine *m = a->c->m;
    const int which = timer_of(a), n = a->offset >> 2 & 1;
    count(m, which, a->c->t);
    switch (a->offset & ~4u) {
    case CONFIG: return timer(m, which)->config[n];
    case VALUE: return timer(m, which)->value[n];
    case COMPARE: return timer(m, which)->compare[n];
    default: no_register(a);
    }
}

void timer_store(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    const int which = timer_of(a), n = a->offset >> 2 & 1;
    Timer *timer = &m->devices->timer[which];
    count(m, which, a->c->t);
    switch (a->offset & ~4u) {
    case CONFIG: configure(a, timer, n, value); break;
    case VALUE: timer->value[n] = value; break;
    case COMPARE: timer->compare[n] = value; break;
    case START: configure(a, timer, n, timer->config[n] | ENABLE); break;
    case RESET: configure(a, timer, n, timer->config[n] | RESET_NOW); break;
    default: no_register(a);
    }
    plan(m);
}
