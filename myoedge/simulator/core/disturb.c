// SPDX-License-Identifier: Apache-2.0
// Disturbances for fault injection: what radiation or a low supply may do between two instructions.
#include "devices.h"
#include "machine.h"

bool is_skipped(bool *skips_next, uint32_t lines)
{
    const bool skipped = *skips_next && lines;
    if (skipped) *skips_next = false;
    return skipped;
}

int machine_disturb(Machine *m, uint32_t kind, uint32_t where, uint32_t bit)
{
    if (kind == DISTURB_DMA) {
        m->devices->dma.loses_next = true;
        return 1;
    }
    if (kind == DISTURB_INTERRUPT) {
        if (where >= CORES) return 0;
        *(where == FC ? &m->devices->itc.skips_next : &m->devices->events.core[where].skips_next) = true;
        return 1;
    }
    if (kind == DISTURB_REGISTER) {
        const uint32_t core = where / REGISTERS, number = where % REGISTERS;
        if (core >= CORES || !number || bit >= 32) return 0;
        m->core[core].r[number] ^= 1u << bit;
        return 1;
    }
    uint8_t *byte = memory_at(m, where, 1);
    if (!byte || bit >= 8) return 0;
    *byte ^= (uint8_t)(1u << bit);
    memory_written(m, where, 1);
    return 1;
}
