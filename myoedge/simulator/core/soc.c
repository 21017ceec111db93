// SPDX-License-Identifier: Apache-2.0
// Power, chip control, start of the cluster, cache control, stdout: little more than
// registers that keep what is written.
#include "devices.h"

static Soc *soc(const Access *a) { return &a->c->m->devices->soc; }

// The exit code is in the low bits of either platform's status register once the top bit is set.
enum {
    PAD_FUNCTIONS = 0x10,
    EXIT_PULP = 0xa0,
    CLUSTER_BUSY = 0xb0,
    EXIT_GAP9 = 0xc0,
    SLEEP_INFO = 0xf8,
    PADS_A_WORD = 16
};
#define EXITED 0x80000000u

uint32_t pad_function(Machine *m, uint32_t pad)
{
    const uint32_t word = m->devices->soc.control[PAD_FUNCTIONS / 4 + pad / PADS_A_WORD];
    return word >> 2 * (pad % PADS_A_WORD) & 3;
}

uint32_t *chip_word(Machine *m, uint32_t offset) { return &m->devices->soc.control[offset / 4 % CHIP_WORDS]; }

uint32_t chip_control_load(const Access *a)
{
    switch (a->offset) {
    case EXIT_PULP:
    case EXIT_GAP9: return soc(a)->core_status;
    case CLUSTER_BUSY: return (a->c->m->awake & CLUSTER_CORES) != 0;
    case SLEEP_INFO: return *chip_word(a->c->m, SLEEP_CONTROL);
    default: return *chip_word(a->c->m, a->offset);
    }
}

void chip_control_store(const Access *a, uint32_t value)
{
    if (a->offset == EXIT_PULP || a->offset == EXIT_GAP9) {
        soc(a)->core_status = value;
        if (value & EXITED) leave(a->c->m, value & ~EXITED);
        return;
    }
    *chip_word(a->c->m, a->offset) = value;
    restart_store(a, value);
    front_end_pins(a->c->m, a->c->t); // pads may be GPIOs now
}

// Cluster control: which cores run, and from where.
enum { FETCH_ENABLE = 0x08, CLUSTER_CLOCKS = 0x18, CLOCK_GATE = 0x20, BOOT_ADDRESS = 0x40 };

static uint32_t *cluster_register(const Access *a)
{
    const uint32_t core = (a->offset - BOOT_ADDRESS) / 4;
    if (a->offset >= BOOT_ADDRESS && core < a->c->m->chip.cluster_cores) return &soc(a)->boot_address[core];
    if (a->offset == FETCH_ENABLE) return &soc(a)->fetch_enable;
    if (a->offset == CLUSTER_CLOCKS) return &soc(a)->cluster_clocks;
    if (a->offset == CLOCK_GATE) return &soc(a)->clock_gate;
    no_register(a);
}

uint32_t cluster_control_load(const Access *a) { return *cluster_register(a); }

void cluster_control_store(const Access *a, uint32_t value)
{
    Machine *m = a->c->m;
    *cluster_register(a) = value;
    if (a->offset != FETCH_ENABLE) return;
    for (uint32_t core = 0; core < m->chip.cluster_cores; core++)
        if (value >> core & 1)
            core_start(&m->core[core], soc(a)->boot_address[core], a->c->t + m->chip.core_start_cycles);
}

// Instruction caches: on and off, forget everything.
enum { CACHE_ENABLE = 0x0 }; // the other one flushes

static void cache_store(const Access *a, bool cluster, uint32_t value)
{
    if (a->offset == CACHE_ENABLE) fetch_enable(a->c->m, cluster, value != 0);
    else fetch_flush(a->c->m, cluster);
}

void fc_cache_store(const Access *a, uint32_t value) { cache_store(a, false, value); }
void cluster_cache_store(const Access *a, uint32_t value) { cache_store(a, true, value); }

// A character a store, whatever the core whose slot it is.
void stdout_store(const Access *a, uint32_t value)
{
    const char character = (char)value;
    put_output(a->c->m, &character, 1);
}
