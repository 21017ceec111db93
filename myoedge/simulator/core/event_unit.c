// SPDX-License-Identifier: Apache-2.0
// The event unit: a buffer of events and a mask for each core of the cluster, and p.elw, which
// sleeps until an event of the mask is there.
#include "devices.h"

// Registers of one core.
enum {
    MASK = 0x00,
    MASK_AND = 0x04,
    MASK_OR = 0x08,
    MASK_IRQ = 0x0c,
    MASK_IRQ_AND = 0x10,
    MASK_IRQ_OR = 0x14,
    STATUS = 0x18,
    BUFFER = 0x1c,
    BUFFER_MASKED = 0x20,
    BUFFER_IRQ_MASKED = 0x24,
    BUFFER_CLEAR = 0x28,
    TARGETS = 0x2c,
    TARGETS_AND = 0x30,
    TARGETS_OR = 0x34,
    WAIT = 0x38,
    WAIT_CLEAR = 0x3c,
    CORE_END = 0x40
};
// The window of the own core.
enum {
    MUTEX_BASE = 0xc0,
    MUTEX_END = 0x100,
    TRIGGER_BASE = 0x100,
    TRIGGER_END = 0x140,
    TRIGGER_WAIT_BASE = 0x140,
    TRIGGER_WAIT_END = 0x1c0,
    BARRIER_BASE = 0x200,
    BARRIER_END = 0x400,
    CLEARS = 0x40
};
// All of them, as the interconnect sees them.
enum {
    ALL_CORES_END = 0x400,
    ALL_BARRIERS_BASE = 0x400,
    ALL_BARRIERS_END = 0x600,
    ALL_TRIGGERS_BASE = 0x600,
    ALL_TRIGGERS_END = 0x640
};

static EventUnit *unit(Machine *m) { return &m->devices->events; }

// Counters take the first and the last cycles of a sleep in p.elw as awake.
static void count_awake(Core *c, Cycle until)
{
    const uint32_t active = c->m->chip.elw_active_cycles;
    const Cycle slept = until > c->slept_at ? until - c->slept_at : 0;
    const Cycle awake = active < 1 ? 0 : active - 1 < slept ? active - 1 : slept;
    c->counts.stall[STALL_SLEEP] -= awake;
    c->counts.stall[STALL_OUTSIDE] += awake;
}

static void wake(Machine *m, int core, Cycle at)
{
    CoreEvents *e = &unit(m)->core[core];
    Core *c = &m->core[core];
    const bool by_event = m->devices->waiting[core] == WAITS_EVENT;
    if (by_event) {
        c->r[c->wait_rd] = e->buffer & e->mask;
        e->buffer &= ~e->clear;
    }
    core_waits(c, NOT_WAITING);
    core_wake(c, at + m->chip.wake_cycles);
    if (by_event) count_awake(c, at + m->chip.wake_cycles);
}

void events_changed(Machine *m, int core, Cycle at)
{
    const CoreEvents *e = &unit(m)->core[core];
    const uint32_t interrupts = e->buffer & e->interrupt_mask;
    if (interrupts && (m->core[core].mstatus & 8)) interrupt_taken(m, core, interrupts);
    const enum Waiting waiting = m->devices->waiting[core];
    if (waiting == WAITS_EVENT && (e->buffer & e->mask)) wake(m, core, at);
    else if (waiting == WAITS_INTERRUPT && interrupts) wake(m, core, at);
}

void raise_event(Machine *m, int core, int event, Cycle at)
{
    CoreEvents *e = &unit(m)->core[core];
    if (is_skipped(&e->skips_next, 1u << event & (e->mask | e->interrupt_mask))) return;
    e->buffer |= 1u << event;
    events_changed(m, core, at);
}

void raise_everywhere(Machine *m, int event, Cycle at)
{
    for (uint32_t core = 0; core < m->chip.cluster_cores; core++)
        raise_event(m, (int)core, event, at);
}

static _Noreturn void only_elw(const Access *a)
{
    misused(a, FAULT_REGISTER, "only p.elw can wait for an event");
}

static uint32_t core_load(const Access *a, const CoreEvents *e, uint32_t offset)
{
    switch (offset) {
    case MASK: return e->mask;
    case MASK_IRQ: return e->interrupt_mask;
    case STATUS: return a->c->m->devices->waiting[a->c->id] == NOT_WAITING;
    case BUFFER: return e->buffer;
    case BUFFER_MASKED: return e->buffer & e->mask;
    case BUFFER_IRQ_MASKED: return e->buffer & e->interrupt_mask;
    case TARGETS: return e->targets;
    case WAIT:
    case WAIT_CLEAR: only_elw(a);
    default: no_register(a);
    }
}

static void core_store(const Access *a, int core, uint32_t offset, uint32_t value)
{
    CoreEvents *e = &unit(a->c->m)->core[core];
    switch (offset) {
    case MASK: e->mask = value; break;
    case MASK_AND: e->mask &= ~value; break;
    case MASK_OR: e->mask |= value; break;
    case MASK_IRQ: e->interrupt_mask = value; break;
    case MASK_IRQ_AND: e->interrupt_mask &= ~value; break;
    case MASK_IRQ_OR: e->interrupt_mask |= value; break;
    case BUFFER_CLEAR: e->buffer &= ~value; break;
    case TARGETS: e->targets = value; break;
    case TARGETS_AND: e->targets &= ~value; break;
    case TARGETS_OR: e->targets |= value; break;
    default: no_register(a);
    }
    events_changed(a->c->m, core, a->c->t);
}

static bool within(uint32_t offset, uint32_t base, uint32_t end) { return offset >= base && offset < end; }

uint32_t event_unit_load(const Access *a)
{
    const uint32_t at = a->offset;
    if (a->c->id == FC) no_register(a);
    if (at < CORE_END) return core_load(a, &unit(a->c->m)->core[a->c->id], at);
    if (within(at, MUTEX_BASE, MUTEX_END)) return mutex_load(a, at - MUTEX_BASE);
    if (within(at, TRIGGER_WAIT_BASE, TRIGGER_WAIT_END)) only_elw(a);
    if (within(at, BARRIER_BASE, BARRIER_END)) return barrier_load(a, at - BARRIER_BASE);
    no_register(a);
}

void event_unit_store(const Access *a, uint32_t value)
{
    const uint32_t at = a->offset;
    if (a->c->id == FC) no_register(a);
    if (at < CORE_END) core_store(a, a->c->id, at, value);
    else if (within(at, MUTEX_BASE, MUTEX_END)) mutex_store(a, at - MUTEX_BASE, value);
    else if (within(at, TRIGGER_BASE, TRIGGER_END)) software_event(a, (at - TRIGGER_BASE) / 4, value);
    else if (within(at, BARRIER_BASE, BARRIER_END)) barrier_store(a, at - BARRIER_BASE, value);
    else no_register(a);
}

uint32_t event_units_load(const Access *a)
{
    const uint32_t at = a->offset, core = at / CORE_END;
    if (core < a->c->m->chip.cluster_cores) return core_load(a, &unit(a->c->m)->core[core], at % CORE_END);
    if (within(at, ALL_BARRIERS_BASE, ALL_BARRIERS_END)) return barrier_load(a, at - ALL_BARRIERS_BASE);
    no_register(a);
}

void event_units_store(const Access *a, uint32_t value)
{
    const uint32_t at = a->offset, core = at / CORE_END;
    if (core < a->c->m->chip.cluster_cores) core_store(a, (int)core, at % CORE_END, value);
    else if (within(at, ALL_BARRIERS_BASE, ALL_BARRIERS_END)) barrier_store(a, at - ALL_BARRIERS_BASE, value);
    else if (within(at, ALL_TRIGGERS_BASE, ALL_TRIGGERS_END))
        software_event(a, (at - ALL_TRIGGERS_BASE) / 4, value);
    else no_register(a);
}

static void spend(Core *c, uint32_t cycles, uint32_t active)
{
    const uint32_t more = cycles > 1 ? cycles - 1 : 0;
    const uint32_t asleep = cycles > active ? cycles - active : 0;
    c->t += more;
    c->counts.stall[STALL_SLEEP] += asleep < more ? asleep : more;
    c->counts.stall[STALL_OUTSIDE] += more - (asleep < more ? asleep : more);
}

// The core goes on at once or, with nothing of its mask in the buffer, when something is.
static bool await_events(Core *c, uint32_t clear, uint32_t *value)
{
    const Chip *chip = &c->m->chip;
    CoreEvents *e = &unit(c->m)->core[c->id];
    e->clear = clear;
    *value = e->buffer & e->mask;
    if (!*value) {
        core_waits(c, WAITS_EVENT);
        return false;
    }
    e->buffer &= ~clear;
    core_to_front(c->m, c->id); // as after a sleep: it is one of no length
    spend(c, chip->elw_cycles, chip->elw_active_cycles);
    return true;
}

static bool wait_for_mutex(const Access *a, uint32_t *value)
{
    if (!mutex_take(a, a->offset - MUTEX_BASE)) return await_events(a->c, 1u << EVENT_MUTEX, value);
    *value = unit(a->c->m)->mutex[(a->offset - MUTEX_BASE) / 4].value;
    spend(a->c, a->c->m->chip.mutex_cycles, a->c->m->chip.mutex_cycles);
    return true;
}

// Plain registers can be read with p.elw, too.
static bool read_register(const Access *a, uint32_t *value)
{
    *value = event_unit_load(a);
    spend(a->c, a->c->m->chip.mutex_cycles, a->c->m->chip.mutex_cycles);
    return true;
}

bool event_wait(Core *c, const Insn *i, uint32_t address, uint32_t *value)
{
    const Chip *chip = &c->m->chip;
    if (address < chip->cluster_alias_bytes) address += chip->l1_base;
    const Access a = {c, i, address, address - chip->demux_base};
    if (c->id == FC || a.offset >= chip->event_unit_bytes || (address & 3))
        misused(&a, FAULT_REGISTER, "p.elw of an address that is not in the core's event unit");
    takes_access(&a, DEVICE_EVENT_UNIT, false);
    const CoreEvents *e = &unit(c->m)->core[c->id];
    c->wait_rd = i->rd;
    if (a.offset == WAIT || a.offset == WAIT_CLEAR)
        return await_events(c, a.offset == WAIT_CLEAR ? e->mask : 0, value);
    if (within(a.offset, MUTEX_BASE, MUTEX_END)) return wait_for_mutex(&a, value);
    if (within(a.offset, TRIGGER_WAIT_BASE, TRIGGER_WAIT_END)) {
        software_event(&a, (a.offset - TRIGGER_WAIT_BASE) % CLEARS / 4, e->targets);
        return await_events(c, a.offset >= TRIGGER_WAIT_BASE + CLEARS ? e->mask : 0, value);
    }
    if (within(a.offset, BARRIER_BASE, BARRIER_END) && barrier_arrive(&a, a.offset - BARRIER_BASE))
        return await_events(c, a.offset % 8 == 4 ? e->mask : 0, value);
    return read_register(&a, value);
}
