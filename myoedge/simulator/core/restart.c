// SPDX-License-Identifier: Apache-2.0
// Power domains that lose what they hold, the watchdog, and the start from the beginning.
#include <stdlib.h>
#include <string.h>

#include "devices.h"

enum { WATCHDOG_ON = 1u << 31, WATCHDOG_PERIODS = 0xffffff };
enum { LOST = 0x5a, BLOCK = 64 };

static Power *power(Machine *m) { return &m->devices->peripherals.power; }

static void core_down(Machine *m, int id)
{
    Core *c = &m->core[id];
    unschedule(m, id);
    c->state = CORE_OFF;
    m->awake &= ~(1u << id);
    core_waits(c, NOT_WAITING);
    memset(c->r, 0, sizeof c->r);
    memset(c->loop, 0, sizeof c->loop);
    c->mstatus = c->mie = c->mscratch = c->mepc = c->mtvec = c->mcause = 0;
    c->half_done = false;
}

// Blocks that nobody has written yet stay as they are: how many there are is counted at the end.
static void lose_l1(Machine *m)
{
    for (uint32_t at = 0; at + BLOCK <= m->chip.l1_bytes; at += BLOCK)
        if (!is_untouched(m->l1 + at)) memset(m->l1 + at, LOST, BLOCK);
}

void cluster_down(Machine *m)
{
    Devices *d = m->devices;
    for (int id = 0; id < FC; id++)
        core_down(m, id);
    for (int n = 0; n < TRANSFERS; n++)
        if (d->dma.transfer[n].live) unwatch_transfer(m, &d->dma.transfer[n]);
    memset(&d->dma, 0, sizeof d->dma);
    dma_new(&d->dma);
    memset(&d->events, 0, sizeof d->events);
    memset(&d->timer[TIMER_CLUSTER], 0, sizeof d->timer[TIMER_CLUSTER]);
    ne16_reset(d->ne16);
    d->soc.fetch_enable = d->soc.clock_gate = d->soc.cluster_clocks = 0;
    memset(d->soc.boot_address, 0, sizeof d->soc.boot_address);
    unschedule(m, ACTOR_DMA);
    unschedule(m, ACTOR_NE16);
    fetch_flush(m, true);
    fetch_enable(m, true, false);
    lose_l1(m);
}

// Those words of chip control that are always on.
static void reset_control(Machine *m)
{
    const uint32_t kept[] = {*chip_word(m, SLEEP_CONTROL), *chip_word(m, SLEEP_PINS),
                             *chip_word(m, SLEEP_COUNTER)};
    memset(m->devices->soc.control, 0, sizeof m->devices->soc.control);
    *chip_word(m, SLEEP_CONTROL) = kept[0];
    *chip_word(m, SLEEP_PINS) = kept[1];
    *chip_word(m, SLEEP_COUNTER) = kept[2];
}

void chip_down(Machine *m)
{
    Devices *d = m->devices;
    core_down(m, FC);
    clock_reset(m);
    memset(&d->itc, 0, sizeof d->itc);
    memset(d->timer, 0, sizeof d->timer);
    memset(&d->l3, 0, sizeof d->l3);
    unschedule(m, ACTOR_L3);
    unschedule(m, ACTOR_EVENTS);
    fetch_flush(m, false);
    fetch_enable(m, false, false);
    reset_control(m);
    peripherals_down(m);
}

bool restart_keep(Machine *m, uint32_t entry)
{
    Power *p = power(m);
    p->entry = entry;
    p->image = malloc(m->chip.l2_bytes);
    if (p->image) memcpy(p->image, m->l2, m->chip.l2_bytes);
    return p->image != NULL;
}

void chip_restart(Machine *m, bool loaded)
{
    Power *p = power(m);
    cluster_down(m);
    chip_down(m);
    if (loaded) {
        memcpy(m->l2, p->image, m->chip.l2_bytes);
        memory_written(m, m->chip.l2_base, m->chip.l2_bytes);
    }
    p->cluster_off = p->busy = false;
    p->restarts++;
    if (loaded) front_end_pins(m, m->now); // asleep, the pads hold what they drove
    core_start(&m->core[FC], p->entry, m->now + m->chip.boot_cycles);
}

void restart_due(Machine *m, int which)
{
    (void)which;
    chip_restart(m, true);
}

// ---- watchdog

static void arm(Machine *m, Cycle at)
{
    const uint32_t set = *chip_word(m, WATCHDOG_SET);
    const Cycle periods = set & WATCHDOG_PERIODS;
    due_at(m, DUE_RESTART, set & WATCHDOG_ON ? at + periods * m->chip.reference_cycles : NEVER);
}

void restart_store(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    if (a->offset == WATCHDOG_SET || a->offset == WATCHDOG_AGAIN) arm(m, a->c->t);
    else if (a->offset == RESTART && value & 1) due_at(m, DUE_RESTART, a->c->t + 1);
}
