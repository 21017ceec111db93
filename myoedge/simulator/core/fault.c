// SPDX-License-Identifier: Apache-2.0
// The end of a run: because it cannot go on, or as the program wished.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"

// p.elw and wfi, of 4 bytes, go on behind themselves; whoever is held makes its access again.
static uint32_t place(const Machine *m, const Core *c)
{
    if (!c->at) return 0;
    const uint32_t pc = pc_of(m, c->at);
    const bool behind = c->state == CORE_ASLEEP && !c->is_held && is_own(m, c->at);
    return behind ? pc - 4 : pc;
}

// Of a run that has no end: the core that is behind the others, or sleeps, the controller last.
static int hanging(const Machine *m, enum Fault kind)
{
    int found = -1;
    if (kind != FAULT_DEADLOCK && kind != FAULT_CYCLES) return found;
    for (int id = 0; id < CORES; id++) {
        const Core *c = &m->core[id], *best = &m->core[found < 0 ? 0 : found];
        if (c->state == CORE_OFF) continue;
        const bool is_first = found < 0 || (c->state == CORE_RUNNING) > (best->state == CORE_RUNNING);
        if (is_first || (c->state == best->state && c->t < best->t)) found = id;
    }
    return found;
}

_Noreturn void fault(Machine *m, int core, enum Fault kind, uint32_t pc, uint32_t address,
                     const char *text, ...)
{
    FaultReport *report = &m->fault;
    report->cycle = core >= 0 ? m->core[core].t : m->now;
    for (int id = 0; id < CORES; id++) {
        report->at[id] = place(m, &m->core[id]);
        report->state[id] = m->core[id].state;
    }
    if (core < 0 && (core = hanging(m, kind)) >= 0) pc = report->at[core];
    report->kind = kind;
    report->core = core;
    report->pc = pc;
    report->address = address;
    const uint8_t *word = memory_at(m, pc & ~1u, 4);
    if (word) memcpy(&report->word, word, 4);
    if (core >= 0) memcpy(report->r, m->core[core].r, sizeof report->r);
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(report->text, sizeof report->text, text, arguments);
    va_end(arguments);
    longjmp(m->escape, 1);
}

_Noreturn void leave(Machine *m, uint32_t exit_code)
{
    m->exited = true;
    m->exit_code = exit_code;
    longjmp(m->escape, 1);
}
