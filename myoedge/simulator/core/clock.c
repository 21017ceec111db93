// SPDX-License-Identifier: Apache-2.0
// The clock generators. Whatever is programmed, they are locked when looked at. Their dividers (CCR1) change
// the clocks of the controller, the cluster and the peripherals while programs run: the chip's cycles stay
// those of the cluster's clock at the divider clock_divider, and cores, their timers and the peripherals take
// several of them. DMA, NE16 and memories do not: they work at that divider alone.
#include <string.h>

#include "devices.h"

enum { STATUS = 0x00, DIVIDERS = 0x2c, ALL_LOCKED = 0xf };
enum { PERIPHERALS, CONTROLLER, CLUSTER_CLOCK }; // bytes of CCR1

static Soc *soc(Machine *m) { return &m->devices->soc; }

// An access takes three periods of the reference, as on GAP9's platform model (fll_v2_impl.cpp).
static void wait_for_reference(Core *c)
{
    c->t += (c->m->chip.fll_access_cycles + c->m->core_cycles - 1) / c->m->core_cycles;
}

uint32_t fll_load(const Access *a)
{
    wait_for_reference(a->c);
    return a->offset == STATUS ? ALL_LOCKED : soc(a->c->m)->fll[a->offset / 4 % FLL_WORDS];
}

uint32_t periph_periods(const Machine *m)
{
    const uint32_t periods = m->devices->soc.periph_cycles;
    return periods ? periods : 1;
}

// Cycles of the chip in one of a clock, by its divider; 0 and 1 do not divide.
static uint32_t cycles_of(const Machine *m, uint32_t dividers, int clock)
{
    const uint32_t divider = dividers >> 8 * clock & 0xff;
    return (divider ? divider : 1) / m->chip.clock_divider;
}

static void change(Machine *m, Cycle at)
{
    const uint32_t dividers = soc(m)->fll[DIVIDERS / 4];
    soc(m)->periph_cycles = cycles_of(m, dividers, PERIPHERALS);
    power_changed(m, at);
    timers_clock(m, cycles_of(m, dividers, CONTROLLER), at);
}

void clock_due(Machine *m, int which)
{
    (void)which;
    change(m, m->now);
}

void clock_disturb(Machine *m, int64_t late) { soc(m)->clock_late += (Cycle)late; }

void clock_reset(Machine *m)
{
    power_changed(m, m->now);
    memset(soc(m)->fll, 0, sizeof soc(m)->fll);
    soc(m)->periph_cycles = m->core_cycles = 1;
    m->core_edge = 0;
}

static void check(const Access *a, uint32_t dividers)
{
    const Machine *m = a->c->m;
    for (int clock = PERIPHERALS; clock <= CLUSTER_CLOCK; clock++) {
        const uint32_t divider = dividers >> 8 * clock & 0xff, cycles = cycles_of(m, dividers, clock);
        if (!cycles || cycles * m->chip.clock_divider != (divider ? divider : 1))
            misused(a, FAULT_REGISTER, "a clock that the fastest one is no multiple of is not simulated");
    }
    if (cycles_of(m, dividers, CONTROLLER) != cycles_of(m, dividers, CLUSTER_CLOCK))
        misused(a, FAULT_REGISTER, "different clocks of controller and cluster are not simulated");
}

void fll_store(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    Core *c = a->c;
    const bool changes = a->offset == DIVIDERS && m->chip.clock_divider;
    if (changes) check(a, value);
    soc(m)->fll[a->offset / 4 % FLL_WORDS] = value;
    if (changes && soc(m)->clock_late) {
        due_at(m, DUE_CLOCK, c->t + soc(m)->clock_late);
        soc(m)->clock_late = 0;
    } else if (changes) {
        change(m, c->t);
        c->ran_from = c->t;
        c->turn = c->t + 1;
    }
    wait_for_reference(c);
}
