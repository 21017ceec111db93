// SPDX-License-Identifier: Apache-2.0
// Instruction fetch: a buffer of one line a core, a cache a core, and for the cluster's cores a
// shared cache in banks behind it. A cache refills one line at a time; the victim is drawn by a
// shift register that steps at every miss (as in the caches of GAP9's platform model), so that a
// run is the same every time.
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define NO_LINE 0xffffffffu
enum { MAX_BANKS = 8 };

typedef struct {
    uint32_t sets, ways;
    uint32_t *line;     // [sets * ways], NO_LINE: empty
    Cycle *ready;       // when that line has arrived
    Cycle busy_until;   // the refill under way
    uint8_t draw;       // the shift register
} Cache;

struct Caches {
    Cache own[CORES];
    Cache shared[MAX_BANKS];
    bool cluster_on, fc_on;
};

static bool cache_new(Cache *cache, uint32_t sets, uint32_t ways)
{
    cache->sets = sets;
    cache->ways = ways;
    cache->line = malloc(sizeof(uint32_t) * sets * ways);
    cache->ready = calloc(sets * ways, sizeof(Cycle));
    if (!cache->line || !cache->ready) return false;
    memset(cache->line, 0xff, sizeof(uint32_t) * sets * ways);
    return true;
}

static void cache_free(Cache *cache)
{
    free(cache->line);
    free(cache->ready);
}

static uint32_t sets_of(const Chip *chip, int core)
{
    if (core == FC) return chip->fc_cache_sets;
    return core == (int)chip->cluster_cores - 1 ? chip->l0_master_sets : chip->l0_sets;
}

bool fetch_new(Machine *m)
{
    const Chip *chip = &m->chip;
    m->caches = calloc(1, sizeof(Caches));
    if (!m->caches || chip->l1_cache_banks > MAX_BANKS) return false;
    bool ok = true;
    for (int i = 0; i < CORES; i++) {
        const uint32_t ways = i == FC ? chip->fc_cache_ways : chip->l0_ways;
        ok &= cache_new(&m->caches->own[i], sets_of(chip, i), ways);
        m->core[i].present = calloc(chip->l2_bytes / chip->line_bytes + 1, 1);
        ok &= m->core[i].present != NULL;
        m->core[i].line = NO_LINE;
    }
    for (uint32_t i = 0; i < chip->l1_cache_banks; i++)
        ok &= cache_new(&m->caches->shared[i], chip->l1_cache_sets, chip->l1_cache_ways);
    return ok;
}

void fetch_free(Machine *m)
{
    if (!m->caches) return;
    for (int i = 0; i < CORES; i++) {
        cache_free(&m->caches->own[i]);
        free(m->core[i].present);
    }
    for (int i = 0; i < MAX_BANKS; i++)
        cache_free(&m->caches->shared[i]);
    free(m->caches);
}

// Where a line lies in its set, or -1.
static int find(const Cache *cache, uint32_t set, uint32_t line)
{
    for (uint32_t way = 0; way < cache->ways; way++)
        if (cache->line[set * cache->ways + way] == line) return (int)(set * cache->ways + way);
    return -1;
}

static uint32_t draw_way(Cache *cache)
{
    const uint32_t r = cache->draw;
    const uint32_t bit = ~(r >> 7 ^ r >> 3 ^ r >> 2 ^ r >> 1) & 1u;
    cache->draw = (uint8_t)(r << 1 | bit);
    return (cache->draw >> 1) & (cache->ways - 1);
}

// Puts a line into a cache; returns how long it takes from `now`, `behind` being the time that the
// memory behind needs.
static Cycle refill(Cache *cache, uint32_t place, uint32_t line, Cycle now, Cycle behind)
{
    const Cycle waits = cache->busy_until > now ? cache->busy_until - now : 0;
    cache->busy_until = now + waits + behind;
    cache->line[place] = line;
    cache->ready[place] = cache->busy_until;
    return waits + behind;
}

// Cycles until the shared cache delivers a line.
static Cycle shared_latency(Machine *m, uint32_t line, Cycle now)
{
    const Chip *chip = &m->chip;
    Cache *cache = &m->caches->shared[line & (chip->l1_cache_banks - 1)];
    const uint32_t set = (line / chip->l1_cache_banks) & (cache->sets - 1);
    const int place = find(cache, set, line);
    if (place >= 0) return cache->ready[place] > now ? cache->ready[place] - now : 0;
    const Cycle wait = outer_access(m, false, chip->line_bytes, now);
    return refill(cache, set * cache->ways + draw_way(cache), line, now,
                  wait + chip->l2_line_cycles + chip->l1_cache_refill_cycles);
}

static Cycle behind_own(Core *c, uint32_t line)
{
    const Chip *chip = &c->m->chip;
    if (c->id == FC) return chip->fc_line_cycles + chip->fc_cache_refill_cycles;
    return shared_latency(c->m, line, c->t) + chip->l0_refill_cycles;
}

// Cycles that a line costs which is not in the core's own cache.
static Cycle miss(Core *c, uint32_t line)
{
    Caches *caches = c->m->caches;
    const bool on = c->id == FC ? caches->fc_on : caches->cluster_on;
    if (!on) return c->id == FC ? c->m->chip.fc_line_cycles : c->m->chip.l2_line_cycles;
    Cache *own = &caches->own[c->id];
    const Cycle behind = behind_own(c, line);
    const uint32_t set = line & (own->sets - 1), place = set * own->ways + draw_way(own);
    if (own->line[place] != NO_LINE) c->present[own->line[place]] = 0;
    c->present[line] = 1;
    return refill(own, place, line, c->t, behind);
}

// A line into the buffer; *stall grows by what it costs. False: handed over, i comes again.
static bool fetch_line(Core *c, const Insn *i, uint32_t line, Cycle *stall)
{
    if (!c->present[line]) {
        if (c->t >= c->turn) {
            yield(c, i);
            return false;
        }
        *stall += miss(c, line);
    }
    c->line = line;
    return true;
}

// Behind a copy: the wait for its line.
static const Insn *pay(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    t += c->owed;
    GO_TO(i->target);
}

// Loads, stores and accesses to control registers act in the cycle in which they are fetched; the
// core waits for its line, or for the result of the instruction before, afterwards. A copy of the
// instruction runs, behind which the wait is paid. For others the order makes no difference.
static const Insn *owing(Core *c, const Insn *i, uint32_t cycles)
{
    c->owed = cycles;
    c->pay = (Insn){.op = pay, .body = pay, .target = i->next, .line = c->line, .rd = NOWHERE};
    c->copy = *i;
    c->copy.op = i->op == observe ? observe : i->body;
    c->copy.next = &c->pay;
    return &c->copy;
}

void wait_before(Core *c, const Insn *i, Cycle cycles)
{
    c->waited = i;
    c->waited_from = c->t;
    c->waited_until = c->t += cycles;
}

static const Insn *stalled(Core *c, const Insn *i, Cycle stall)
{
    c->counts.stall[STALL_FETCH] += stall;
    stall += c->use_wait;
    c->use_wait = 0;
    if (i->acts && is_own(c->m, i)) return owing(c, i, (uint32_t)stall);
    wait_before(c, i, stall); // a copy whose line has been emptied meanwhile owes as much as it does
    return i;
}

static bool is_last(const Machine *m, const Insn *i)
{
    return (pc_of(m, i) & (m->chip.line_bytes - 1)) == m->chip.line_bytes - 2;
}

static bool is_end(const Machine *m, const Insn *i)
{
    return i->line + 1 == m->chip.l2_bytes / m->chip.line_bytes;
}

bool fetch_waits(const Core *c, const Insn *i)
{
    if (i->line != c->line && !c->present[i->line]) return true;
    return is_last(c->m, i) && !is_end(c->m, i) && !c->present[i->line + 1];
}

// Where waits add, all lines of an instruction are asked for in the cycle in which it is reached: the refill
// of the first one, under way then, is waited for twice.
bool fetch_ahead(Core *c, const Insn *i)
{
    const Cycle now = c->t;
    if (now >= c->turn) {
        yield(c, i);
        return false;
    }
    if (c->m->chip.waits_add && c->waited == i && c->waited_until == now) c->t = c->waited_from;
    const Cycle stall = miss(c, i->line + 1);
    c->counts.stall[STALL_FETCH] += stall;
    c->line = i->line + 1;
    c->t = now + stall;
    return true;
}

const Insn *fetch_owing(Core *c, const Insn *i, uint32_t cycles)
{
    c->line = is_last(c->m, i) && !is_end(c->m, i) ? i->line + 1 : i->line;
    return owing(c, i, cycles);
}

const Insn *fetch(Core *c, const Insn *i)
{
    Machine *m = c->m;
    if (!is_own(m, i)) return i; // part of one whose line is there
    if (!is_filled(i)) fill(m, &m->insns[i - m->insns]);
    if (plain_op(m, i) != i->body) return i; // enter_line and enter_last do it
    Cycle stall = 0;
    if (!fetch_line(c, i, i->line, &stall)) return NULL;
    return stall ? stalled(c, i, stall) : i;
}

const Insn *go_to_line(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    SETTLE();
    i = fetch(c, i);
    if (!i) return NULL;
    RESUME();
    GO(i);
}

// What enter_line does where the line is not at hand.
APART static const Insn *wait_for_line(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    Cycle stall = 0;
    SETTLE();
    if (i->line != c->line && !fetch_line(c, i, i->line, &stall)) return NULL;
    if (stall) i = stalled(c, i, stall);
    RESUME();
    RUN_BODY(i);
}

const Insn *enter_line(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    if (!c->present[i->line]) RUN_OP(wait_for_line, i);
    c->line = i->line;
    RUN_BODY(i);
}

APART static const Insn *wait_for_lines(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    Cycle stall = 0;
    SETTLE();
    if (i->line != c->line && !fetch_line(c, i, i->line, &stall)) return NULL;
    if (!is_end(c->m, i) && !fetch_line(c, i, i->line + 1, &stall)) return NULL;
    if (stall) i = stalled(c, i, stall);
    RESUME();
    RUN_BODY(i);
}

const Insn *enter_last(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    const bool at_hand = i->line == c->line || c->present[i->line];
    if (!at_hand || !c->present[i->line + 1]) RUN_OP(wait_for_lines, i);
    c->line = i->line + 1;
    RUN_BODY(i);
}

static void empty(Cache *cache) { memset(cache->line, 0xff, sizeof(uint32_t) * cache->sets * cache->ways); }

static void flush_core(Machine *m, int core)
{
    empty(&m->caches->own[core]);
    memset(m->core[core].present, 0, m->chip.l2_bytes / m->chip.line_bytes);
    m->core[core].line = NO_LINE;
}

void fetch_flush(Machine *m, bool cluster)
{
    if (!cluster) {
        flush_core(m, FC);
        return;
    }
    for (int i = 0; i < FC; i++)
        flush_core(m, i);
    for (uint32_t i = 0; i < m->chip.l1_cache_banks; i++)
        empty(&m->caches->shared[i]);
}

void fetch_enable(Machine *m, bool cluster, bool on)
{
    if (cluster) m->caches->cluster_on = on;
    else m->caches->fc_on = on;
}
