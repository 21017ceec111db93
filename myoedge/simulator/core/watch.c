// SPDX-License-Identifier: Apache-2.0
// Bytes of L1 that must not be touched now: those that a transfer will still write, those that one
// will still read (they must not be written), and the guards below stacks. A byte for every 64 B
// of L1 says which blocks to look at.
#include "devices.h"

enum { BLOCK_SHIFT = 6, WATCHED_DMA = 1, WATCHED_GUARD = 2 };

static Watch *watch(Machine *m) { return &m->devices->watch; }

static const Guard *guard_at(Machine *m, uint32_t first, uint32_t bytes)
{
    for (uint32_t g = 0; g < watch(m)->guards; g++) {
        const Guard *guard = &watch(m)->guard[g];
        if (overlap(guard->first, guard->bytes, first, bytes)) return guard;
    }
    return NULL;
}

const Transfer *transfer_touching(Machine *m, Touches touches, uint32_t first, uint32_t bytes, bool in,
                                  bool out)
{
    const Dma *d = &m->devices->dma;
    uint32_t left = d->live;
    for (int n = 0; n < TRANSFERS && left; n++) {
        const Transfer *t = &d->transfer[n];
        if (!t->live) continue;
        left--;
        if ((t->out ? out : in) && touches(t, first, bytes)) return t;
    }
    return NULL;
}

static bool touches_l1(const Transfer *t, uint32_t first, uint32_t bytes)
{
    return overlap(t->l1 + t->moved, t->bytes - t->moved, first, bytes);
}

static const Transfer *under_way(Machine *m, uint32_t first, uint32_t bytes, bool in, bool out)
{
    return transfer_touching(m, touches_l1, first, bytes, in, out);
}

static void mark(Machine *m, const Transfer *t, int by)
{
    const uint32_t last = (t->l1 + t->bytes - 1) >> BLOCK_SHIFT;
    for (uint32_t block = t->l1 >> BLOCK_SHIFT; block <= last; block++) {
        uint16_t *count = &watch(m)->transfers[block];
        *count = (uint16_t)(*count + by);
        if (*count) m->l1_watched[block] |= WATCHED_DMA;
        else m->l1_watched[block] &= (uint8_t)~WATCHED_DMA;
    }
}

// Nothing says which of two transfers in opposite directions is first.
void watch_transfer(const Access *a, const Transfer *t)
{
    Machine *m = a->c->m;
    if (!t->out && guard_at(m, t->l1, t->bytes))
        misused(a, FAULT_STACK, "a DMA transfer would write to the end of a stack");
    if (under_way(m, t->l1, t->bytes, t->out, !t->out))
        misused(a, FAULT_DMA, "a DMA transfer shares bytes of L1 with one the other way");
    mark(m, t, 1);
}

void unwatch_transfer(Machine *m, const Transfer *t) { mark(m, t, -1); }

void watch_guard(Machine *m, uint32_t address, uint32_t size)
{
    const uint32_t first = address - m->chip.l1_base;
    if (!size || first >= m->chip.l1_bytes || size > m->chip.l1_bytes - first) return;
    if (watch(m)->guards == GUARDS) return;
    watch(m)->guard[watch(m)->guards++] = (Guard){first, size};
    for (uint32_t block = first >> BLOCK_SHIFT; block <= (first + size - 1) >> BLOCK_SHIFT; block++)
        m->l1_watched[block] |= WATCHED_GUARD;
}

static _Noreturn void raced(Core *c, const Insn *i, uint32_t address, const Transfer *t, bool is_store)
{
    fault(c->m, c->id, FAULT_DMA, pc_of(c->m, i), address,
          "%s of L1 bytes that a DMA transfer of %u bytes has yet to %s", is_store ? "store" : "load",
          t->bytes, t->out ? "read" : "write");
}

void watch_access(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    Machine *m = c->m;
    const uint32_t first = address - m->chip.l1_base;
    // The fabric controller, whose stack lies elsewhere, plants the canaries.
    if (is_store && c->id != FC && guard_at(m, first, size))
        fault(m, c->id, FAULT_STACK, pc_of(m, i), address, "store to the end of a stack");
    const Transfer *t = under_way(m, first, size, true, is_store);
    if (t) raced(c, i, address, t, is_store);
}

void watch_ne16(Machine *m, uint32_t first, uint32_t bytes, bool is_store)
{
    const uint32_t address = m->chip.l1_base + first;
    if (is_store && guard_at(m, first, bytes))
        fault(m, -1, FAULT_STACK, 0, address, "NE16 stores to the end of a stack");
    const Transfer *t = under_way(m, first, bytes, true, is_store);
    if (t)
        fault(m, -1, FAULT_DMA, 0, address,
              "NE16 %s bytes at 0x%08x that a DMA transfer of %u bytes has yet to %s",
              is_store ? "stores to" : "loads", address, t->bytes, t->out ? "read" : "write");
}
