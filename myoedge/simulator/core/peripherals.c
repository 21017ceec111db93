// SPDX-License-Identifier: Apache-2.0
// One actor for everything slow outside the cluster, so that the cores' schedule stays short.
#include <stdlib.h>
#include <string.h>

#include "devices.h"

typedef void (*Handler)(Machine *m, int which);

static const Handler HANDLERS[DUES] = {
    interrupt_due, uart_due, uart_due, uart_due, uart_due,  spi_due,     spi_due,  spi_due,   spi_due,
    ready_due,     edge_due, byte_due, end_due,  power_due, restart_due, mram_due, clock_due,
};

static void plan(Machine *m)
{
    const Cycle *due = m->devices->peripherals.due;
    Cycle next = NEVER;
    for (int which = 0; which < DUES; which++)
        if (due[which] < next) next = due[which];
    if (next == NEVER) unschedule(m, ACTOR_PERIPHERALS);
    else schedule(m, ACTOR_PERIPHERALS, next);
}

void due_at(Machine *m, int which, Cycle when)
{
    m->devices->peripherals.due[which] = when;
    plan(m);
}

void peripherals_due(Machine *m)
{
    Cycle *due = m->devices->peripherals.due;
    for (int which = 0; which < DUES; which++) {
        if (due[which] > m->now) continue;
        due[which] = NEVER;
        HANDLERS[which](m, which);
    }
    plan(m);
}

static void reset(Peripherals *p)
{
    memset(p->events.mask, 0xff, sizeof p->events.mask);
    for (uint32_t n = 0; n < UARTS; n++)
        p->uart[n].rx = p->uart[n].tx = UDMA_OFF;
    for (uint32_t n = 0; n < SPIS; n++) {
        p->spi[n].rx = p->spi[n].tx = p->spi[n].commands = UDMA_OFF;
        p->spi[n].selected = -1;
    }
}

void peripherals_new(Machine *m)
{
    Peripherals *p = &m->devices->peripherals;
    for (int which = 0; which < DUES; which++)
        p->due[which] = NEVER;
    reset(p);
}

void peripherals_down(Machine *m)
{
    Peripherals *p = &m->devices->peripherals;
    for (int which = 0; which < DUE_READY; which++)
        p->due[which] = NEVER;
    p->due[DUE_RESTART] = p->due[DUE_FLASH] = p->due[DUE_CLOCK] = NEVER;
    memset(&p->events, 0, sizeof p->events);
    memset(&p->udma, 0, sizeof p->udma);
    memset(p->uart, 0, sizeof p->uart);
    memset(p->spi, 0, sizeof p->spi);
    mram_power_cut(m, (uint32_t)m->now);
    memset(&p->mram, 0, sizeof p->mram);
    for (uint32_t n = 0; n < GPIO_BANKS; n++)
        gpio_down(&p->gpio[n]);
    reset(p);
    plan(m);
}

void peripherals_free(Machine *m)
{
    free(m->devices->peripherals.line.bytes);
    free(m->devices->peripherals.front_end.ready.frames);
    free(m->devices->peripherals.power.image);
}
