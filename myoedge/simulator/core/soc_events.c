// SPDX-License-Identifier: Apache-2.0
// Events of the chip outside the cluster: those that are not masked queue up for the fabric
// controller, which takes them one by one out of its interrupt controller's FIFO.
#include "devices.h"

enum {
    TRIGGER = 0x00,
    MASKS = 0x04,
    ERRORS = 0x64,
    MASK_SET = 0x94,
    MASK_CLEAR = 0x98,
    FIRST_SOFTWARE_EVENT = 48,
    SOFTWARE_EVENTS = 8
};

static SocEvents *events(Machine *m) { return &m->devices->peripherals.events; }

static uint32_t bit_of(uint32_t event) { return 1u << (event & 31); }

void soc_event(Machine *m, uint32_t event, Cycle at)
{
    SocEvents *e = events(m);
    if (e->mask[event / 32] & bit_of(event)) return;
    if (e->used == SOC_FIFO) {
        e->error[event / 32] |= bit_of(event);
        raise_interrupt(m, IRQ_EVENT_LOST, at);
        return;
    }
    e->fifo[(e->first + e->used++) % SOC_FIFO] = (uint8_t)event;
    raise_interrupt(m, IRQ_SOC_EVENT, at);
}

uint32_t soc_event_taken(Machine *m, Cycle at)
{
    SocEvents *e = events(m);
    if (!e->used) return 0;
    const uint32_t event = e->fifo[e->first];
    e->first = (e->first + 1) % SOC_FIFO;
    if (--e->used) raise_interrupt(m, IRQ_SOC_EVENT, at);
    return event;
}

// One of the words that a program reads and writes, or NULL.
static uint32_t *word_of(const Access *a)
{
    SocEvents *e = events(a->c->m);
    const uint32_t mask = (a->offset - MASKS) / 4, error = (a->offset - ERRORS) / 4;
    if (a->offset >= MASKS && mask < SOC_MASKS) return &e->mask[mask];
    if (a->offset >= ERRORS && error < SOC_EVENT_WORDS) return &e->error[error];
    return NULL;
}

uint32_t soc_events_load(const Access *a)
{
    const uint32_t *word = word_of(a);
    if (!word) no_register(a);
    return *word;
}

void soc_events_store(const Access *a, uint32_t value)
{
    SocEvents *e = events(a->c->m);
    uint32_t *word = word_of(a);
    const uint32_t event = value & 0xff;
    if (word) *word = value;
    else if (a->offset == MASK_SET) e->mask[event / 32] |= bit_of(event);
    else if (a->offset == MASK_CLEAR) e->mask[event / 32] &= ~bit_of(event);
    else if (a->offset == TRIGGER) {
        for (uint32_t n = 0; n < SOFTWARE_EVENTS; n++)
            if (value >> n & 1) soc_event(a->c->m, FIRST_SOFTWARE_EVENT + n, a->c->t);
    } else no_register(a);
}
