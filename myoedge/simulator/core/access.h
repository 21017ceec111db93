// SPDX-License-Identifier: Apache-2.0
// Loads and stores as instructions make them: aligned accesses of a cluster core to L1 here,
// everything else in memory.c. Callers are ORDERED before.
#pragma once
#include <string.h>

#include "core.h"

// The cycle in which its bank of L1 serves an access of cycle t.
static inline Cycle bank_access(Machine *m, uint32_t address, Cycle t)
{
    if (!m->chip.l1_contention) return t;
    Cycle *free = &m->bank_free[(address >> 2) & (m->chip.l1_banks - 1)];
    const Cycle served = *free > t ? *free : t;
    *free = served + 1;
    return served;
}

// The same for a core, which counts what it waits.
static inline Cycle served_by_bank(Core *c, uint32_t offset, Cycle t)
{
    const Cycle served = bank_access(c->m, offset, t);
    c->counts.stall[STALL_BANK] += served - t;
    return served;
}

// Whether an access can be served here. The first `word` bytes of L1's alias at 0 are not.
static inline bool is_plain_l1(const Core *c, uint32_t offset, uint32_t size)
{
    const Machine *m = c->m;
    return offset < m->chip.l1_bytes && c->id != FC && (offset & 3) + size <= 4
        && !m->l1_watched[offset >> 6];
}

static inline uint32_t load(Core *c, const Insn *i, uint32_t address, uint32_t size)
{
    const uint32_t offset = address - c->m->chip.l1_base;
    c->counts.loads++;
    if (!is_plain_l1(c, offset, size)) return load_slow(c, i, address, size);
    c->t = served_by_bank(c, offset, c->t);
    uint32_t value = 0;
    memcpy(&value, c->m->l1 + offset, size); // both machines are little endian
    return value;
}

static inline void store(Core *c, const Insn *i, uint32_t address, uint32_t size, uint32_t value)
{
    const uint32_t offset = address - c->m->chip.l1_base;
    c->counts.stores++;
    if (!is_plain_l1(c, offset, size)) {
        store_slow(c, i, address, size, value);
        return;
    }
    c->t = served_by_bank(c, offset, c->t);
    memcpy(c->m->l1 + offset, &value, size);
}
