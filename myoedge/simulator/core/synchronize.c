// SPDX-License-Identifier: Apache-2.0
// What cores synchronize with: barriers, mutexes, events that software triggers.
#include "devices.h"

enum {
    TRIGGER_MASK = 0x00,
    STATUS = 0x04,
    SUMMARY = 0x08,
    TARGET_MASK = 0x0c,
    TRIGGER = 0x10,
    TRIGGER_SELF = 0x14,
    TRIGGER_WAIT = 0x18,
    TRIGGER_WAIT_CLEAR = 0x1c,
    BARRIER_BYTES = 0x20
};

static uint32_t everyone(const Machine *m) { return (1u << m->chip.cluster_cores) - 1; }

static void raise_for(Machine *m, int event, uint32_t cores, Cycle at)
{
    for (int core = 0; core < (int)m->chip.cluster_cores; core++)
        if (cores >> core & 1) raise_event(m, core, event, at);
}

void software_event(const Access *a, uint32_t event, uint32_t cores)
{
    Machine *m = a->c->m;
    if (event >= m->chip.software_events) no_register(a);
    raise_for(m, (int)event, cores ? cores : everyone(m), a->c->t);
}

static Barrier *barrier_at(const Access *a, uint32_t offset)
{
    Machine *m = a->c->m;
    if (offset / BARRIER_BYTES >= m->chip.barriers) no_register(a);
    return &m->devices->events.barrier[offset / BARRIER_BYTES];
}

static void pass(const Access *a, Barrier *barrier)
{
    if (!barrier->arrived || barrier->arrived != barrier->trigger) return;
    barrier->arrived = 0;
    raise_for(a->c->m, EVENT_BARRIER, barrier->target, a->c->t);
}

static void arrive(const Access *a, Barrier *barrier)
{
    if (a->c->id == FC) no_register(a);
    barrier->arrived |= 1u << a->c->id;
    pass(a, barrier);
}

// Cores that wait at any barrier but the first.
static uint32_t summary(const Machine *m)
{
    uint32_t arrived = 0;
    for (uint32_t b = 1; b < m->chip.barriers; b++)
        arrived |= m->devices->events.barrier[b].arrived;
    return arrived;
}

uint32_t barrier_load(const Access *a, uint32_t offset)
{
    Barrier *barrier = barrier_at(a, offset);
    switch (offset % BARRIER_BYTES) {
    case TRIGGER_MASK: return barrier->trigger;
    case STATUS: return barrier->arrived;
    case SUMMARY: return summary(a->c->m);
    case TARGET_MASK: return barrier->target;
    case TRIGGER_SELF: arrive(a, barrier); return 0;
    case TRIGGER_WAIT:
    case TRIGGER_WAIT_CLEAR: misused(a, FAULT_REGISTER, "only p.elw can wait at a barrier");
    default: no_register(a);
    }
}

void barrier_store(const Access *a, uint32_t offset, uint32_t value)
{
    Barrier *barrier = barrier_at(a, offset);
    switch (offset % BARRIER_BYTES) {
    case TRIGGER_MASK: barrier->trigger = value; break;
    case STATUS: barrier->arrived = value; break;
    case TARGET_MASK: barrier->target = value; break;
    case TRIGGER: barrier->arrived |= value; break;
    case TRIGGER_SELF: arrive(a, barrier); return;
    default: no_register(a);
    }
    pass(a, barrier);
}

bool barrier_arrive(const Access *a, uint32_t offset)
{
    Barrier *barrier = barrier_at(a, offset);
    const uint32_t at = offset % BARRIER_BYTES;
    if (at != TRIGGER_WAIT && at != TRIGGER_WAIT_CLEAR) return false;
    arrive(a, barrier);
    return true;
}

static Mutex *mutex_at(const Access *a, uint32_t offset)
{
    if (offset / 4 >= a->c->m->chip.mutexes) no_register(a);
    return &a->c->m->devices->events.mutex[offset / 4];
}

bool mutex_take(const Access *a, uint32_t offset)
{
    Mutex *mutex = mutex_at(a, offset);
    if (!mutex->locked) return mutex->locked = true;
    mutex->waiting |= 1u << a->c->id;
    return false;
}

uint32_t mutex_load(const Access *a, uint32_t offset)
{
    Mutex *mutex = mutex_at(a, offset);
    if (mutex->locked) misused(a, FAULT_REGISTER, "only p.elw can wait for a mutex");
    mutex->locked = true;
    return mutex->value;
}

// Unlocks; the waiting core with the lowest number is the next to hold it.
void mutex_store(const Access *a, uint32_t offset, uint32_t value)
{
    Mutex *mutex = mutex_at(a, offset);
    mutex->value = value;
    if (!mutex->waiting) {
        mutex->locked = false;
        return;
    }
    const int next = __builtin_ctz(mutex->waiting);
    mutex->waiting &= mutex->waiting - 1;
    raise_event(a->c->m, next, EVENT_MUTEX, a->c->t);
    Core *woken = &a->c->m->core[next];
    if (a->c->m->devices->waiting[next] == NOT_WAITING) woken->r[woken->wait_rd] = value;
}
