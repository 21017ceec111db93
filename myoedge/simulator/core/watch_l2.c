// SPDX-License-Identifier: Apache-2.0
// Bytes of L2 that must not be touched now: those that the DMA or the controllers of L3 have yet to
// write, and those that they have yet to read (they must not be written).
#include "devices.h"

// Whether bytes lie in what a transfer has yet to move of one of its lines.
static bool in_line(const Transfer *t, uint32_t line, uint32_t first, uint32_t bytes)
{
    const uint32_t at = line * t->line_bytes, moved = t->moved > at ? t->moved - at : 0;
    const uint32_t left = t->bytes - at, length = left < t->line_bytes ? left : t->line_bytes;
    return overlap(t->outer + (uint64_t)line * t->stride + moved, length - moved, first, bytes);
}

// The same for all of its lines. Of those that reach the bytes only the first and the last one can
// miss them after all: looking ends soon.
static bool in_transfer(const Transfer *t, uint32_t first, uint32_t bytes)
{
    uint64_t line = t->moved / t->line_bytes, last = (t->bytes - 1) / t->line_bytes;
    if (!t->stride && last > line) line = last - 1; // whole, and where all others are
    if (t->stride) {
        const uint64_t end = (uint64_t)first + bytes, begin = (uint64_t)t->outer + t->line_bytes;
        const uint64_t reaching = first >= begin ? (first - begin) / t->stride + 1 : 0;
        if (end <= t->outer) return false;
        const uint64_t starting = (end - 1 - t->outer) / t->stride;
        if (reaching > line) line = reaching;
        if (starting < last) last = starting;
    }
    for (; line <= last; line++)
        if (in_line(t, (uint32_t)line, first, bytes)) return true;
    return false;
}

// Whether the DMA has yet to read (in) or to write (out) some of these bytes.
static bool dma_has(Machine *m, uint32_t first, uint32_t bytes, bool in, bool out)
{
    return transfer_touching(m, in_transfer, first, bytes, in, out) != NULL;
}

// Whether L3's controllers have yet to write (to_l2) or to read (from_l2) some of them.
static bool l3_has(Machine *m, uint32_t first, uint32_t bytes, bool to_l2, bool from_l2)
{
    const L3 *l = &m->devices->l3;
    for (uint32_t n = 0; n < l->jobs; n++) {
        const L3Job *job = &l->job[(l->first + n) % L3_DEPTH];
        if ((job->read ? to_l2 : from_l2) && overlap(job->l2, job->bytes, first, bytes)) return true;
    }
    return false;
}

void watch_l2(Core *c, const Insn *i, uint32_t address, uint32_t size, bool is_store)
{
    Machine *m = c->m;
    if (!m->devices->dma.live && !m->devices->l3.jobs) return;
    const bool written = dma_has(m, address, size, false, true) || l3_has(m, address, size, true, false);
    const bool read =
        is_store && (dma_has(m, address, size, true, false) || l3_has(m, address, size, false, true));
    if (written || read)
        fault(m, c->id, FAULT_DMA, pc_of(m, i), address, "%s of L2 bytes that a transfer has yet to %s",
              is_store ? "store" : "load", written ? "write" : "read");
}

// Each way the DMA keeps the order of its commands; nothing says which way is first.
void watch_l2_transfer(const Access *a, const Transfer *t)
{
    Machine *m = a->c->m;
    if (!m->devices->l3.jobs && !m->devices->dma.live) return;
    const uint32_t lines = (t->bytes - 1) / t->line_bytes + 1;
    for (uint32_t line = 0; line < lines; line++) {
        const uint32_t at = line * t->line_bytes, left = t->bytes - at;
        const uint32_t bytes = left < t->line_bytes ? left : t->line_bytes;
        const uint32_t first = t->outer + line * t->stride;
        if (dma_has(m, first, bytes, t->out, !t->out) || l3_has(m, first, bytes, true, t->out))
            misused(a, FAULT_DMA, "a DMA transfer shares bytes of L2 with one that is under way");
    }
}

void watch_l2_job(const Access *a, const L3Job *job)
{
    if (dma_has(a->c->m, job->l2, job->bytes, job->read, true))
        misused(a, FAULT_DMA, "an L3 transfer shares bytes of L2 with one of the DMA");
}
