// SPDX-License-Identifier: Apache-2.0
// The chip's eFUSEs: words that its maker programmed, read-only here. The boot ROM's page says what
// they mean.
#include "devices.h"

enum { COMMAND = 0x000, TIMING = 0x004, PROTECTION = 0x008, WORDS = 0x200 };
enum { COMMAND_READ = 1, COMMAND_PROGRAM = 2 };
enum { INFO_2 = 1, HAS_TRIM = 1 << 11, TRIM_WORDS = 65, TRIM_START = 66 };

static Efuse *efuse(Machine *m) { return &m->devices->peripherals.efuse; }

uint32_t efuse_load(const Access *a)
{
    const Efuse *e = efuse(a->c->m);
    if (a->offset == TIMING) return e->timing;
    if (a->offset == PROTECTION) return e->protection;
    if (e->command != COMMAND_READ)
        misused(a, FAULT_REGISTER, "an eFUSE is read without the command to read");
    return e->word[(a->offset - WORDS) / 4];
}

void efuse_store(const Access *a, uint32_t value)
{
    Efuse *e = efuse(a->c->m);
    if (a->offset == TIMING) e->timing = value;
    else if (a->offset == PROTECTION) e->protection = value;
    else if (value == COMMAND_PROGRAM) misused(a, FAULT_REGISTER, "programming eFUSEs is not simulated");
    else e->command = value;
}

const uint32_t *efuse_trim(const Machine *m, uint32_t *words)
{
    const Efuse *e = &m->devices->peripherals.efuse;
    *words = e->word[TRIM_WORDS];
    const bool fused = e->word[INFO_2] & HAS_TRIM && *words <= EFUSE_WORDS - TRIM_START;
    return fused ? e->word + TRIM_START : NULL;
}
