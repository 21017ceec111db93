// SPDX-License-Identifier: Apache-2.0
#include "observe.h"

#include <stdlib.h>
#include <string.h>

#include "devices.h"

enum { WORKERS = 8 };
enum { MOST_MARKS = 1 << 18, MOST_KEPT = 1 << 30 };

bool observes_all(const Machine *m)
{
    const Observer *o = m->observer;
    return o && (o->profile || o->from < o->to);
}

bool observes(const Machine *m, uint32_t pc)
{
    return observes_all(m) || (m->observer && m->observer->mark_pc && m->observer->mark_pc == pc);
}

// Room for one more of an array that doubles; false when memory is out.
static bool grow(void **array, size_t used, size_t *room, size_t size)
{
    if (used < *room) return true;
    const size_t more = *room ? *room * 2 : 64;
    void *moved = realloc(*array, more * size);
    if (!moved) return false;
    *array = moved;
    *room = more;
    return true;
}

static _Noreturn void out_of_memory(Machine *m)
{
    fault(m, -1, FAULT_MEMORY, 0, 0, "no memory left for what is recorded");
}

// A program that marks without end must not take all memory.
static void check_room(Machine *m)
{
    const Observer *o = m->observer;
    if (o->marks_used >= MOST_MARKS || o->kept_used >= MOST_KEPT)
        fault(m, -1, FAULT_MEMORY, 0, 0, "more is marked than is recorded: %zu marks, %zu bytes",
              o->marks_used, o->kept_used);
}

static void keep(Machine *m, const Snapshot *snapshot)
{
    Observer *o = m->observer;
    const uint8_t *bytes = memory_at(m, snapshot->address, snapshot->size);
    if (!bytes) return;
    while (o->kept_used + snapshot->size > o->kept_room)
        if (!grow((void **)&o->kept, o->kept_room, &o->kept_room, 1)) out_of_memory(m);
    memcpy(o->kept + o->kept_used, bytes, snapshot->size);
    o->kept_used += snapshot->size;
}

static void mark(Core *c)
{
    Machine *m = c->m;
    Observer *o = m->observer;
    check_room(m);
    if (!grow((void **)&o->marks, o->marks_used, &o->marks_room, sizeof(Mark))) out_of_memory(m);
    Mark *mark = &o->marks[o->marks_used++];
    mark->cycle = c->t;
    mark->value = (int32_t)c->r[10];
    mark->core = (uint32_t)c->id;
    for (int i = 0; i < CORES; i++) {
        count_retired(&m->core[i]);
        mark->counts[i] = m->core[i].counts;
    }
    const DeviceCounts *device = device_counts(m);
    mark->dma_bytes = device->dma_in_bytes + device->dma_out_bytes;
    mark->dma_busy_cycles = device->dma_busy_cycles;
    mark->l3_bytes = device->l3_read_bytes + device->l3_written_bytes;
    mark->l3_busy_cycles = device->l3_busy_cycles;
    mark->ne16_busy_cycles = ne16_busy_until(m, c->t);
    mark->mram_bytes = device->mram_read_bytes;
    for (size_t i = 0; i < o->snapshots_used; i++)
        if (o->snapshots[i].value == mark->value) keep(m, &o->snapshots[i]);
}

static void step(Core *c)
{
    Observer *o = c->m->observer;
    const Insn *last = o->last[c->id];
    if (!last || !(o->cores >> c->id & 1) || o->last_t[c->id] < o->from || o->last_t[c->id] >= o->to) return;
    if (o->steps_used == o->steps_room) {
        o->steps_lost++;
        return;
    }
    o->steps[o->steps_used++] =
        (Step){o->last_t[c->id], pc_of(c->m, last), (uint32_t)c->id, last->rd, c->r[last->rd]};
}

// How many instructions a core has ended: the same for one that is tried again on its turn.
static uint64_t ended(const Core *c) { return c->counts.instructions + (c->retired & 0xffffffffffu); }

const Insn *observe(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    Observer *o = c->m->observer;
    if (!o->last[c->id] || o->last_retired[c->id] != ended(c)) {
        if (o->profile && o->last[c->id]) {
            const size_t last = (size_t)(o->last[c->id] - c->m->insns);
            o->profile[last] += c->t - o->last_t[c->id];
            o->executed[last] += c->id < WORKERS;
        }
        step(c);
        o->last[c->id] = &c->m->insns[(pc_of(c->m, i) - c->m->chip.l2_base) / 2]; // i may be a copy
        o->last_t[c->id] = c->t;
        o->last_retired[c->id] = ended(c);
        if (o->mark_pc && pc_of(c->m, i) == o->mark_pc) mark(c);
    }
    const Op op = plain_op(c->m, i);
    RESUME();
    RUN_OP(op, i);
}

static void span(Machine *m, Span span)
{
    Observer *o = m->observer;
    if (!o || !o->spans_room) return;
    if (o->spans_used == o->spans_room) o->spans_lost++;
    else o->spans[o->spans_used++] = span;
}

void trace_transfer(Machine *m, int what, Cycle start, Cycle end, uint32_t bytes, uint32_t address)
{
    span(m, (Span){start, end, (uint32_t)what, 0, bytes, address});
}

void trace_asleep(Core *c, Cycle from, Cycle to)
{
    span(c->m, (Span){from, to, TRACE_ASLEEP, (uint32_t)c->id, 0, 0});
}
