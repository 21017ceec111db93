// SPDX-License-Identifier: Apache-2.0
// Interrupts of the fabric controller. A pending one that is not masked ends wfi, and is taken where
// mstatus.MIE is set: the core goes on in the table at mtvec. Those of the cluster's cores are not
// simulated: one that would be taken is a fault.
#include "devices.h"

enum {
    MASK = 0x00,
    MASK_SET = 0x04,
    MASK_CLEAR = 0x08,
    STATUS = 0x0c,
    STATUS_SET = 0x10,
    STATUS_CLEAR = 0x14,
    FIFO = 0x24
};
enum { ENABLED = 1 << 3, ENABLED_BEFORE = 1 << 7 }; // mstatus.MIE, .MPIE
enum { TABLE_BYTES = 256, VECTOR_BYTES = 4, RETRY_CYCLES = 16 };
#define IS_INTERRUPT 0x80000000u // of mcause

static Itc *itc(Machine *m) { return &m->devices->itc; }

static uint32_t pending_for(Machine *m, int core)
{
    if (core == FC) return itc(m)->status & itc(m)->mask;
    const CoreEvents *e = &m->devices->events.core[core];
    return e->buffer & e->interrupt_mask;
}

bool takes_interrupt(const Core *c) { return c->mstatus & ENABLED && pending_for(c->m, c->id); }

_Noreturn void interrupt_taken(Machine *m, int core, uint32_t lines)
{
    const Insn *at = m->core[core].at;
    fault(m, core, FAULT_INTERRUPT, at ? pc_of(m, at) : 0, 0,
          "interrupt %d would be taken, and a cluster core's are not simulated", __builtin_ctz(lines));
}

// Takes the pending interrupt of the highest number in front of `next`; returns where its handler is.
static const Insn *enter_handler(Core *c, const Insn *next)
{
    const uint32_t pending = pending_for(c->m, c->id), line = 31u - (uint32_t)__builtin_clz(pending);
    if (c->id != FC) interrupt_taken(c->m, c->id, pending);
    itc(c->m)->status &= ~(1u << line);
    c->mepc = pc_of(c->m, next);
    c->mcause = IS_INTERRUPT | line;
    c->mstatus = (c->mstatus & ~(uint32_t)ENABLED) | ENABLED_BEFORE;
    c->t += c->m->chip.interrupt_cycles;
    c->counts.stall[STALL_JUMP] += c->m->chip.interrupt_cycles;
    return insn_at(c, next, (c->mtvec & ~(TABLE_BYTES - 1u)) + VECTOR_BYTES * line);
}

const Insn *take_interrupt(Core *c, const Insn *next)
{
    if (is_own(c->m, next)) return yield(c, enter_handler(c, next));
    due_at(c->m, DUE_INTERRUPT, c->t + 1); // behind the tail of a hardware loop
    return yield(c, next);
}

const Insn *return_from_interrupt(Core *c, const Insn *i)
{
    const bool before = c->mstatus & ENABLED_BEFORE;
    c->mstatus = (c->mstatus & ~(uint32_t)ENABLED) | ENABLED_BEFORE | (before ? ENABLED : 0);
    return insn_at(c, i, c->mepc & ~1u);
}

// Whether the controller is between two instructions, nothing of the last one being left to do.
static bool is_between(const Core *c)
{
    return c->m->running != FC && c->state == CORE_RUNNING && !c->half_done && is_own(c->m, c->at);
}

// Interrupts the controller that is not asleep, now or as soon as it is between two instructions.
static void interrupt(Machine *m, Cycle at)
{
    Core *c = &m->core[FC];
    if (!is_between(c)) {
        const Cycle soon = c->state == CORE_RUNNING ? c->t + 1 : at + RETRY_CYCLES;
        due_at(m, DUE_INTERRUPT, soon > at ? soon : at + 1);
        return;
    }
    if (c->t < at) c->t = core_edge_from(m, at);
    c->ran_from = c->t;
    c->at = enter_handler(c, c->at);
    core_settle(c);
    if (m->due[FC] != NEVER) schedule(m, FC, c->t); // otherwise it goes in this very cycle
}

void interrupt_due(Machine *m, int which)
{
    (void)which;
    if (takes_interrupt(&m->core[FC])) interrupt(m, m->now);
}

static void changed(Machine *m, Cycle at)
{
    Core *c = &m->core[FC];
    if (!pending_for(m, FC)) return;
    if (m->devices->waiting[FC] == WAITS_INTERRUPT) {
        core_waits(c, NOT_WAITING);
        core_wake(c, at + m->chip.fc_wake_cycles * m->core_cycles);
    }
    if (takes_interrupt(c)) interrupt(m, at);
}

static void set_pending(Machine *m, uint32_t lines)
{
    if (!is_skipped(&itc(m)->skips_next, lines & itc(m)->mask)) itc(m)->status |= lines;
}

void raise_interrupt(Machine *m, int line, Cycle at)
{
    set_pending(m, 1u << line);
    changed(m, at);
}

uint32_t itc_load(const Access *a)
{
    switch (a->offset) {
    case MASK: return itc(a->c->m)->mask;
    case STATUS: return itc(a->c->m)->status;
    case FIFO: return soc_event_taken(a->c->m, a->c->t);
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
    case STATUS_SET: set_pending(a->c->m, value); break;
    case STATUS_CLEAR: i->status &= ~value; break;
    default: no_register(a);
    }
    changed(a->c->m, a->c->t);
}

const Insn *wait_for_interrupt(Core *c, const Insn *next)
{
    if (pending_for(c->m, c->id)) return next;
    core_waits(c, WAITS_INTERRUPT);
    return core_sleep(c, next);
}
