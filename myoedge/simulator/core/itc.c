// SPDX-License-Identifier: Apache-2.0
// Interrupts of the fabric controller. A pending one that is not masked ends wfi; programs for
// this simulator look at the status then: an interrupt that would be taken is a fault.
#include "devices.h"

enum {
    MASK = 0x00,
    MASK_SET = 0x04,
    MASK_CLEAR = 0x08,
    STATUS = 0x0c,
    STATUS_SET = 0x10,
    STATUS_CLEAR = 0x14,
    MSTATUS_MIE = 8
};

static Itc *itc(Machine *m) { return &m->devices->itc; }

_Noreturn void interrupt_taken(Machine *m, int core, uint32_t lines)
{
    const Insn *at = m->core[core].at;
    fault(m, core, FAULT_INTERRUPT, at ? pc_of(m, at) : 0, 0,
          "interrupt %d would be taken, and interrupts are not simulated", __builtin_ctz(lines));
}

static void changed(Machine *m, Cycle at)
{
    const uint32_t pending = itc(m)->status & itc(m)->mask;
    if (!pending) return;
    if (m->core[FC].mstatus & MSTATUS_MIE) interrupt_taken(m, FC, pending);
    if (m->devices->waiting[FC] != WAITS_INTERRUPT) return;
    core_waits(&m->core[FC], NOT_WAITING);
    core_wake(&m->core[FC], at + m->chip.fc_wake_cycles);
}

void raise_interrupt(Machine *m, int line, Cycle at)
{
    itc(m)->status |= 1u << line;
    changed(m, at);
}

uint32_t itc_load(const Access *a)
{
    switch (a->offset) {
    case MASK: return itc(a->c->m)->mask;
    case STATUS: return itc(a->c->m)->status;
    default: no_register(a);
    }
}

void itc_store(const Access *a, uint32_t value)
{
    Itc *i = itc(a->c->m);
    switch (a->offset) {
    case MASK: i->mask = value; break;
    case MASK_SET: i->mask |= value; break;
    case MASK_CLEAR: i->mask &= ~value; break;
    case STATUS: i->status = value; break;
    case STATUS_SET: i->status |= value; break;
    case STATUS_CLEAR: i->status &= ~value; break;
    default: no_register(a);
    }
    changed(a->c->m, a->c->t);
}

static uint32_t pending_for(Machine *m, int core)
{
    if (core == FC) return itc(m)->status & itc(m)->mask;
    const CoreEvents *e = &m->devices->events.core[core];
    return e->buffer & e->interrupt_mask;
}

const Insn *wait_for_interrupt(Core *c, const Insn *next)
{
    if (pending_for(c->m, c->id)) return next;
    core_waits(c, WAITS_INTERRUPT);
    return core_sleep(c, next);
}

void check_interrupts(Core *c)
{
    const uint32_t pending = pending_for(c->m, c->id);
    if (pending && (c->mstatus & MSTATUS_MIE)) interrupt_taken(c->m, c->id, pending);
}
