// SPDX-License-Identifier: Apache-2.0
// Loads and stores that are not aligned accesses of a cluster core to L1: where they lead, and
// how long the core is held.
#include <string.h>

#include "access.h"
#include "devices.h"

uint8_t *memory_at(Machine *m, uint32_t address, uint32_t size)
{
    const uint64_t end = size;
    const uint32_t in_l1 = address - m->chip.l1_base, in_l2 = address - m->chip.l2_base;
    if (in_l1 < m->chip.l1_bytes && in_l1 + end <= m->chip.l1_bytes) return m->l1 + in_l1;
    if (in_l2 < m->chip.l2_bytes && in_l2 + end <= m->chip.l2_bytes) return m->l2 + in_l2;
    return NULL;
}

void memory_written(Machine *m, uint32_t address, uint32_t size)
{
    if (address - m->chip.l2_base < m->chip.l2_bytes) forget_code(m, address, size);
}

Cycle outer_access(Machine *m, bool is_write, uint32_t bytes, Cycle t)
{
    const uint32_t width = m->chip.outer_bytes_per_cycle;
    if (!width) return 0;
    Cycle *free = &m->outer_free[is_write];
    const Cycle begin = *free > t ? *free : t, reached = t + m->chip.outer_reach_cycles;
    *free = begin + (bytes + width - 1) / width;
    return begin > reached ? begin - reached : 0;
}

static void hold(Core *c, uint32_t cycles, enum Stall cause)
{
    const uint32_t more = cycles > 1 ? cycles - 1 : 0;
    c->t += more;
    c->counts.stall[cause] += more;
}

// The address as all cores would write it: aliases of the own cluster or controller resolved.
static uint32_t plain_address(const Core *c, uint32_t address)
{
    const Chip *chip = &c->m->chip;
    if (c->id == FC) return address < chip->fc_alias_bytes ? address + chip->l2_base : address;
    if (address < chip->cluster_alias_bytes) return address + chip->l1_base;
    return address;
}

// Whether it is the alias of L1 whose loads also set the word; *address becomes the plain one.
static bool is_test_and_set(const Machine *m, uint32_t *address)
{
    const uint32_t offset = *address - m->chip.l1_base - m->chip.l1_test_and_set_offset;
    if (offset >= m->chip.l1_bytes) return false;
    *address = m->chip.l1_base + offset;
    return true;
}

static bool is_l1(const Machine *m, uint32_t address) { return address - m->chip.l1_base < m->chip.l1_bytes; }

// Time passes for one access to memory that does not cross a word.
static void hold_for_memory(Core *c, uint32_t address, uint32_t size, bool is_store)
{
    const Chip *chip = &c->m->chip;
    if (c->id == FC) hold(c, is_l1(c->m, address) ? chip->l1_fc_cycles : chip->l2_fc_cycles, STALL_OUTSIDE);
    else if (is_l1(c->m, address)) c->t = served_by_bank(c, address - chip->l1_base, c->t);
    else {
        const uint32_t wait = (uint32_t)outer_access(c->m, is_store, size, c->t);
        if (wait) forget_round(c);
        hold(c, wait + chip->l2_cluster_cycles, STALL_OUTSIDE);
    }
}

static void hold_for_register(Core *c, uint32_t address)
{
    const Chip *chip = &c->m->chip;
    const bool of_cluster = address < chip->l1_base + 0x400000u;
    if (c->id == FC)
        hold(c, of_cluster ? chip->cluster_register_cycles_fc : chip->soc_register_cycles_fc, STALL_OUTSIDE);
    else if (!of_cluster) hold(c, chip->soc_register_cycles_cluster, STALL_OUTSIDE);
    else if (address - chip->demux_base < chip->demux_bytes) hold(c, chip->demux_cycles, STALL_OUTSIDE);
    else hold(c, chip->cluster_register_cycles, STALL_OUTSIDE);
}

static _Noreturn void nothing_there(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    fault(c->m, c->id, FAULT_ACCESS, pc_of(c->m, i), address, "%s of %u bytes at 0x%08x, where nothing is",
          is_store ? "store" : "load", size, address);
}

// The whole of an aligned access, or the first half of a misaligned one.
static void first_access(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    const Machine *m = c->m;
    if (is_l1(m, address)) {
        if (c->id == FC) power_check(c, i, address);
        const uint32_t first = address - m->chip.l1_base;
        if (m->l1_watched[first >> 6] | m->l1_watched[(first + size - 1) >> 6])
            watch_access(c, i, address, size, is_store);
    } else {
        watch_l2(c, i, address, size, is_store);
        if (is_store) c->counts.outside_stores++;
        else c->counts.outside_loads++;
    }
    hold_for_memory(c, address, size, is_store);
}

// The second half of a misaligned access, a cycle later: others that are due before it go first.
static void second_access(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    if (!c->half_done) {
        c->tally.misaligned++;
        hold(c, 2 + c->m->chip.misaligned_stall, STALL_MISALIGNED);
        c->half_done = c->t >= c->turn;
        if (c->half_done) {
            if (is_store) c->counts.stores--;
            else c->counts.loads--;
            core_repeat(c, i);
        }
    }
    c->half_done = false;
    const uint32_t second = (address | 3) + 1;
    if (is_store && !c->m->chip.misaligned_store_waits && is_l1(c->m, second))
        bank_access(c->m, second, c->t);
    else hold_for_memory(c, second, size, is_store);
}

// The bytes of an access to L1 or L2 once its time has passed, NULL for registers.
static uint8_t *reach(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    Machine *m = c->m;
    uint8_t *bytes = memory_at(m, address, size);
    if (!bytes) {
        if (!is_register(m, address)) nothing_there(c, i, address, size, is_store);
        return NULL;
    }
    if (!c->half_done) first_access(c, i, address, size, is_store);
    if ((address & 3) + size > 4) second_access(c, i, address, size, is_store);
    return bytes;
}

uint32_t load_slow(Core *c, const Insn *i, uint32_t address, uint32_t size)
{
    address = plain_address(c, address);
    const bool sets = is_test_and_set(c->m, &address);
    const uint8_t *bytes = reach(c, i, address, size, false);
    uint32_t value = 0;
    if (!bytes) {
        forget_round(c);
        value = register_load(c, i, address, size);
        hold_for_register(c, address);
        return value;
    }
    memcpy(&value, bytes, size);
    if (sets) {
        forget_round(c);
        memset(c->m->l1 + (address - c->m->chip.l1_base), 0xff, size);
        bank_access(c->m, address, c->t);
    }
    return value;
}

void store_slow(Core *c, const Insn *i, uint32_t address, uint32_t size, uint32_t value)
{
    address = plain_address(c, address);
    is_test_and_set(c->m, &address);
    uint8_t *bytes = reach(c, i, address, size, true);
    if (!bytes) {
        register_store(c, i, address, size, value);
        hold_for_register(c, address);
        return;
    }
    memcpy(bytes, &value, size);
    memory_written(c->m, address, size);
}
