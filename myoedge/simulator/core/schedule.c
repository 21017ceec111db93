// SPDX-License-Identifier: Apache-2.0
// Who acts next: a wheel of 64 cycles with a bit an actor, and a list of those due later.
#include <string.h>

#include "core.h"

// Insn.retired counts compressed instructions from bit 40 up: a time slice must not fill that.
enum { SLICE_CYCLES = 1 << 22 };
enum { ALL_CORES = (1 << CORES) - 1 }; // ranks of cores lie below those of devices

// Position of the lowest set bit.
static inline int lowest(uint64_t bits) { return __builtin_ctzll(bits); }

static void put(Machine *m, int rank, Cycle when)
{
    if (when - m->now < WHEEL) {
        m->slot[when % WHEEL] |= 1u << rank;
        m->slots_used |= 1ull << (when % WHEEL);
        return;
    }
    m->far |= 1u << rank;
    if (when < m->far_first) m->far_first = when;
}

static Cycle first_far(const Machine *m)
{
    Cycle first = NEVER;
    for (uint32_t far = m->far; far; far &= far - 1) {
        const Cycle when = m->due[m->actor_of[lowest(far)]];
        if (when < first) first = when;
    }
    return first;
}

static void take(Machine *m, int rank, Cycle when)
{
    const uint32_t bit = 1u << rank, at = (uint32_t)(when % WHEEL);
    if (m->far & bit) {
        m->far &= ~bit;
        m->far_first = first_far(m);
        return;
    }
    m->slot[at] &= ~bit;
    if (!m->slot[at]) m->slots_used &= ~(1ull << at);
}

void unschedule(Machine *m, int actor)
{
    if (m->due[actor] == NEVER) return;
    take(m, m->rank[actor], m->due[actor]);
    m->due[actor] = NEVER;
}

void schedule(Machine *m, int actor, Cycle when)
{
    if (when < m->now) when = m->now;
    if (when != m->due[actor]) m->planned[actor] = ++m->plans;
    unschedule(m, actor);
    m->due[actor] = when;
    put(m, m->rank[actor], when);
    // The core that runs just now must not run past it.
    if (m->running >= 0 && actor != m->running && when < m->core[m->running].turn)
        m->core[m->running].turn = when;
}

// Actors of the far list that have come near go to the wheel.
static void bring_near(Machine *m)
{
    uint32_t far = m->far;
    m->far = 0;
    m->far_first = NEVER;
    for (; far; far &= far - 1) {
        const int rank = lowest(far);
        put(m, rank, m->due[m->actor_of[rank]]);
    }
}

// The first cycle in which anybody is due; NEVER: nobody is.
static inline Cycle first_due(const Machine *m)
{
    Cycle near = NEVER;
    if (m->slots_used) {
        const unsigned at = m->now % WHEEL;
        const uint64_t turned = at ? m->slots_used >> at | m->slots_used << (WHEEL - at) : m->slots_used;
        near = m->now + (Cycle)lowest(turned);
    }
    return near < m->far_first ? near : m->far_first;
}

Cycle next_due(const Machine *m) { return first_due(m); }

// Moves the cores due in cycle `when`, in which somebody is due, to the batch, in order.
static inline void gather(Machine *m, Cycle when)
{
    m->now = when;
    if (m->far_first - when < WHEEL) bring_near(m);
    const unsigned at = when % WHEEL;
    m->batch_next = m->batch_used = 0;
    for (uint32_t cores = m->slot[at] & ALL_CORES; cores; cores &= cores - 1) {
        const unsigned id = m->actor_of[lowest(cores)];
        m->due[id] = NEVER;
        m->batch[m->batch_used++] = &m->core[id];
    }
    m->slot[at] &= ~(uint32_t)ALL_CORES;
    if (!m->slot[at]) m->slots_used &= ~(1ull << at);
}

// The next core of the batch, with the time it may run until before somebody else's turn.
static inline Core *next_of_batch(Machine *m)
{
    Core *c = m->batch[m->batch_next++];
    m->running = c->id;
    c->turn = m->now + 1;
    c->ran_from = c->t;
    if (m->core_cycles > 1) return c; // its own cycles and those of the chip are the same only here
    if (m->batch_next < m->batch_used || m->slot[m->now % WHEEL]) return c;
    const Cycle next = first_due(m);
    c->turn = next < m->limit ? next : m->limit;
    return c;
}

// A device that is due now; cores have gone before it. NE16 goes before a device that was scheduled
// earlier than it, or later, as in GVSoC: who waits for whose banks depends on it.
static void run_device(Machine *m)
{
    int actor = m->actor_of[lowest(m->slot[m->now % WHEEL])];
    const bool is_newer = m->planned[ACTOR_NE16] > m->planned[actor];
    if (m->due[ACTOR_NE16] == m->now && is_newer == (bool)m->chip.ne16_newer_first) actor = ACTOR_NE16;
    unschedule(m, actor);
    actor_due(m, actor);
}

void core_to_front(Machine *m, int core)
{
    if (m->rank[core] == 0) return;
    Cycle due[ACTORS];
    memcpy(due, m->due, sizeof due);
    for (int actor = 0; actor < ACTORS; actor++)
        unschedule(m, actor);
    for (int rank = m->rank[core]; rank > 0; rank--) {
        m->actor_of[rank] = m->actor_of[rank - 1];
        m->rank[m->actor_of[rank]] = (uint8_t)rank;
    }
    m->actor_of[0] = (uint8_t)core;
    m->rank[core] = 0;
    memcpy(m->due, due, sizeof due);
    for (int actor = 0; actor < ACTORS; actor++)
        if (due[actor] != NEVER) put(m, m->rank[actor], due[actor]);
}

void count_retired(Core *c)
{
    c->counts.instructions += c->retired & 0xffffffffffu;
    c->counts.compressed += c->retired >> 40;
    c->retired = 0;
}

Cycle core_edge_from(const Machine *m, Cycle t)
{
    const Cycle since = t - m->core_edge, each = m->core_cycles;
    return m->core_edge + (since + each - 1) / each * each;
}

void core_settle(Core *c)
{
    c->t = c->ran_from + (c->t - c->ran_from) * c->m->core_cycles;
    c->ran_from = c->t;
}

// A core that runs is on no list: it can be put onto one without looking.
const Insn *yield(Core *c, const Insn *i)
{
    Machine *m = c->m;
    if (m->core_cycles > 1) core_settle(c);
    c->at = i;
    m->due[c->id] = c->t;
    put(m, m->rank[c->id], c->t);
    return NULL;
}

// Lets devices act until a core is due. False: nobody is before the end of the time slice.
static bool next_batch(Machine *m)
{
    m->running = -1;
    do {
        const Cycle when = first_due(m);
        if (when >= m->limit) return false;
        gather(m, when);
        if (!m->batch_used) run_device(m);
    } while (!m->batch_used);
    return true;
}

// Goes straight on with the next core.
const Insn *hand_over(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    Machine *m = c->m;
    SETTLE();
    yield(c, i);
    if (m->batch_next == m->batch_used && !next_batch(m)) return NULL;
    c = next_of_batch(m);
    RESUME();
    GO_TO(c->at);
}

// Of the cores that are awake: whether the cluster has any (1), whether the controller is one (2).
static inline unsigned who(uint32_t awake)
{
    return (awake & CLUSTER_CORES ? 1u : 0u) | (awake >> FC & 1) << 1;
}

static inline void set_awake(Machine *m, uint32_t awake, Cycle at)
{
    const bool changes = who(awake) != who(m->awake);
    m->awake = awake;
    if (changes) power_changed(m, at);
}

void core_start(Core *c, uint32_t pc, Cycle when)
{
    if (c->state != CORE_OFF) return;
    c->state = CORE_RUNNING;
    c->at = insn_at(c, NULL, pc);
    c->t = when;
    set_awake(c->m, c->m->awake | 1u << c->id, when);
    core_to_front(c->m, c->id);
    schedule(c->m, c->id, when);
}

const Insn *core_sleep(Core *c, const Insn *resume)
{
    if (c->m->core_cycles > 1) core_settle(c);
    c->state = CORE_ASLEEP;
    c->at = resume;
    c->slept_at = c->t;
    set_awake(c->m, c->m->awake & ~(1u << c->id), c->t);
    return NULL;
}

void core_wake(Core *c, Cycle when)
{
    if (c->state != CORE_ASLEEP) return;
    c->state = CORE_RUNNING;
    if (when < c->slept_at) when = c->slept_at;
    if (c->m->core_cycles > 1) when = core_edge_from(c->m, when);
    c->counts.stall[STALL_SLEEP] += when - c->slept_at;
    trace_asleep(c, c->slept_at, when);
    c->t = when;
    set_awake(c->m, c->m->awake | 1u << c->id, when);
    core_to_front(c->m, c->id);
    schedule(c->m, c->id, when);
}

_Noreturn void core_hold(Core *c, const Insn *i)
{
    core_sleep(c, i);
    longjmp(c->m->escape, 1);
}

_Noreturn void core_repeat(Core *c, const Insn *i)
{
    yield(c, i);
    longjmp(c->m->escape, 1);
}

static void run_core(Machine *m)
{
    Core *c = next_of_batch(m);
    const Insn *i = c->at;
    if (!has_line(c, i)) i = fetch(c, i);
    while (i) {
        c = &m->core[m->running]; // ops may have handed over to another core
        i = i->op(c, i, c->t, c->retired);
    }
    m->running = -1;
}

static void count_all(Machine *m)
{
    for (int id = 0; id < CORES; id++)
        count_retired(&m->core[id]);
}

int run_until(Machine *m, Cycle limit)
{
    if (m->fault.kind) return RUN_FAULT;
    if (m->exited) return RUN_EXITED;
    if (limit > m->now + SLICE_CYCLES) limit = m->now + SLICE_CYCLES;
    m->limit = limit < m->max_cycles ? limit : m->max_cycles;
    count_all(m);
    if (setjmp(m->escape)) {
        m->running = -1;
        if (m->exited) return RUN_EXITED;
        if (m->fault.kind) return RUN_FAULT; // otherwise a core is held, and others go on
    }
    while (m->batch_next < m->batch_used || next_batch(m))
        run_core(m);
    if (first_due(m) == NEVER)
        fault(m, -1, FAULT_DEADLOCK, 0, 0, "every core sleeps and nothing is under way");
    m->now = m->limit;
    if (m->limit < m->max_cycles) return RUN_MORE;
    fault(m, -1, FAULT_CYCLES, 0, 0, "the program needs more than %llu cycles",
          (unsigned long long)m->max_cycles);
}
