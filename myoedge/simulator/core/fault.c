// SPDX-License-Identifier: Apache-2.0
// The end of a run: because it cannot go on, or as the program wished.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "devices.h"

// Where a core is. Who sleeps in p.elw or wfi, both of 4 bytes, goes on behind it.
static uint32_t place(const Machine *m, const Core *c)
{
    if (!c->at) return 0;
    const enum Waiting waiting = m->devices->waiting[c->id];
    const bool behind = waiting == WAITS_EVENT || waiting == WAITS_INTERRUPT;
    return pc_of(m, c->at) - (behind && is_own(m, c->at) ? 4 : 0);
}

static int first_in(const Machine *m, enum CoreState state)
{
    for (int id = 0; id < CORES; id++)
        if (m->core[id].state == state) return id;
    return -1;
}

// Whose registers are shown where a run has no end: of a core that runs, else of one that sleeps.
static int shown(const Machine *m)
{
    const int running = first_in(m, CORE_RUNNING);
    return running >= 0 ? running : first_in(m, CORE_ASLEEP);
}

_Noreturn void fault(Machine *m, int core, enum Fault kind, uint32_t pc, uint32_t address, const char *text,
                     ...)
{
    FaultReport *report = &m->fault;
    report->cycle = core >= 0 ? m->core[core].t : m->now;
    for (int id = 0; id < CORES; id++) {
        report->at[id] = place(m, &m->core[id]);
        report->state[id] = m->core[id].state;
    }
    if (kind == FAULT_DEADLOCK || kind == FAULT_CYCLES) core = shown(m);
    if (core >= 0 && !pc) pc = report->at[core];
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
    if (m->running >= 0) m->now = m->core[m->running].t;
    longjmp(m->escape, 1);
}
