// SPDX-License-Identifier: Apache-2.0
// The end of a run: because it cannot go on, or as the program wished.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"

_Noreturn void fault(Machine *m, int core, enum Fault kind, uint32_t pc, uint32_t address,
                     const char *text, ...)
{
    FaultReport *report = &m->fault;
    report->kind = kind;
    report->core = core;
    report->pc = pc;
    report->address = address;
    report->cycle = core >= 0 ? m->core[core].t : m->now;
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
