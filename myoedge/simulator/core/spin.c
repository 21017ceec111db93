// SPDX-License-Identifier: Apache-2.0
// Loops that wait until somebody else changes a word. While nobody else acts, a round of such a loop
// that leaves the core as it found it is followed by equal ones: all but the last are counted at
// once. Cycles and counters are those of the rounds made one by one.
#include <string.h>

#include "core.h"
#include "isa.h"

enum { LONGEST = 32, FEW_CYCLES = 64 }; // bytes of a loop; a wait too short to look at
enum { LOAD = 0x03, ALU_IMMEDIATE = 0x13, ALU_PC = 0x17, ALU = 0x33, ALU_UPPER = 0x37, BRANCH = 0x63 };
enum { WORD = 2, LEAST_UNSIGNED = 4, MOST_UNSIGNED = 5 }; // kinds of loads

// Whether an instruction changes nothing but registers. A branch inside is not taken in a round: is_again().
static bool only_looks(uint32_t word)
{
    const uint32_t kind = word >> 12 & 7;
    switch (word & 0x7f) {
    case LOAD: return kind <= WORD || (kind >= LEAST_UNSIGNED && kind <= MOST_UNSIGNED);
    case ALU_IMMEDIATE:
    case ALU_PC:
    case ALU:
    case ALU_UPPER:
    case BRANCH: return true;
    default: return false;
    }
}

bool may_spin(const Machine *m, uint32_t branch, uint32_t target)
{
    uint32_t pc = target;
    if (target >= branch || branch - target > LONGEST) return false;
    while (pc < branch) {
        uint32_t word = word_at(m, pc);
        const uint32_t size = (word & 3) == 3 ? 4 : 2;
        if (size == 2) word = expand((uint16_t)word);
        if (observes(m, pc) || !only_looks(word)) return false;
        pc += size;
    }
    return pc == branch && !observes(m, branch);
}

void forget_round(Core *c) { c->round.end = NULL; }

static Round round_now(const Core *c, const Insn *end)
{
    Round r = {.end = end, .window = c->m->now, .t = c->t, .retired = c->retired};
    r.line = c->line;
    memcpy(r.r, c->r, sizeof r.r);
    memcpy(r.count, (uint32_t[]){c->loop[0].count, c->loop[1].count}, sizeof r.count);
    r.counts = c->counts;
    r.tally = c->tally;
    return r;
}

// Whether nothing but the loop was run from one round's end to the next, by nobody but this core,
// and without a wait that may not come again.
static bool is_again(const Round *a, const Round *b)
{
    const uint64_t *was = a->counts.stall, *is = b->counts.stall;
    return a->end == b->end && a->window == b->window && a->line == b->line
        && b->counts.taken == a->counts.taken + 1 && b->counts.jumps == a->counts.jumps
        && was[STALL_BANK] == is[STALL_BANK] && was[STALL_FETCH] == is[STALL_FETCH]
        && !memcmp(a->count, b->count, sizeof a->count) && !memcmp(a->r, b->r, sizeof a->r);
}

static void add(void *total, const void *from, const void *to, size_t bytes, uint64_t rounds)
{
    uint64_t *sum = total;
    const uint64_t *first = from, *last = to;
    for (size_t k = 0; k < bytes / sizeof *sum; k++)
        sum[k] += rounds * (last[k] - first[k]);
}

// The last round before anybody's turn is left: it takes the banks.
static void skip(Core *c, const Round *from, const Round *to)
{
    const Cycle each = to->t - from->t, fit = (c->turn - c->t) / each;
    const uint64_t rounds = fit > 0 ? fit - 1 : 0;
    c->t += rounds * each;
    c->retired += rounds * (to->retired - from->retired);
    add(&c->counts, &from->counts, &to->counts, sizeof c->counts, rounds);
    add(&c->tally, &from->tally, &to->tally, sizeof c->tally, rounds);
}

const Insn *spin(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    if (t + FEW_CYCLES < c->turn) {
        SETTLE();
        const Round now = round_now(c, i);
        if (is_again(&c->round, &now)) skip(c, &c->round, &now);
        c->round = now;
        RESUME();
    }
    GO_TO(i->target);
}
