// SPDX-License-Identifier: Apache-2.0
// Hardware loops: two sets of start, end and count, the inner one 0. An instruction that any core
// has made a loop's end leads from then on to its tail, which looks whether it is one for the core
// that comes by. One whose result is waited for in another cache line has a tail, too.
#include "handlers.h"

// Which of the two sets is in rd's place.
static HardwareLoop *loop_of(Core *c, const Insn *i) { return &c->loop[i->rd & 1]; }

static bool is_stray(const Insn *i) { return i->body != decode && !i->next; }

void make_tail(Machine *m, Insn *end)
{
    Insn *tail = &m->tails[end - m->insns];
    if (tail->op) return;
    tail->op = tail->body = loop_tail;
    tail->target = end;
    tail->line = end->line;
    tail->rd = NOWHERE;
    if (is_filled(end)) fill(m, end);
}

void set_loop_end(Core *c, int loop, Insn *end)
{
    if (end && is_stray(end)) end = NULL;
    if (end) make_tail(c->m, end);
    c->loop[loop].end = end;
}

// Where the loops that end here go back to; NULL: on to what is behind.
static inline Insn *back_edge(Core *c, const Insn *end)
{
    for (int k = 0; k < LOOPS; k++) {
        HardwareLoop *loop = &c->loop[k];
        if (loop->end != end) continue;
        if (loop->count > 1) {
            loop->count--;
            return loop->start ? loop->start : insn_at(c, end, 0);
        }
        loop->count = 0;
    }
    return NULL;
}

// The wait of `to` for the result of the instruction before it; one for its line covers that, or comes
// first. Returns what to run: an access reaches its memory before that wait.
static const Insn *wait_for_result(Core *c, const Insn *end, Insn *to)
{
    if (!is_filled(to)) fill(c->m, to);
    const uint8_t cost = use_cost(c->m, end, to);
    const bool line_waits = cost && fetch_waits(c, to);
    if (!cost || (line_waits && !c->m->chip.waits_add)) return to;
    c->counts.stall[end->late == LATE_LOAD ? STALL_LOAD_USE : STALL_ARITHMETIC] += cost;
    if (end->late == LATE_MUL) c->tally.mul_use += cost;
    if (end->late == LATE_MULH) c->tally.mulh_use += cost;
    if (line_waits) c->use_wait = cost;
    else if (to->acts) return fetch_owing(c, to, cost);
    else wait_before(c, to, cost);
    return to;
}

const Insn *loop_tail(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    const Insn *end = i->target;
    SETTLE();
    Insn *to = back_edge(c, end);
    if (!to) to = i->next;
    if (end->late == PROMPT) GO_TO(to);
    const Insn *next = wait_for_result(c, end, to);
    RESUME();
    GO_TO(next);
}

static Insn *behind(Machine *m, const Insn *i) { return link_to(m, i, pc_of(m, i) + i->size); }

static const Insn *op_lp_starti(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    loop_of(c, i)->start = i->target;
    DONE();
}

static const Insn *op_lp_endi(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    set_loop_end(c, i->rd & 1, i->target);
    DONE();
}

static const Insn *op_lp_count(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    loop_of(c, i)->count = c->r[i->rs1];
    DONE();
}

static const Insn *op_lp_counti(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    loop_of(c, i)->count = (uint32_t)i->imm;
    DONE();
}

static void set_up(Core *c, const Insn *i, uint32_t count)
{
    HardwareLoop *loop = loop_of(c, i);
    loop->start = behind(c->m, i);
    loop->count = count;
    set_loop_end(c, i->rd & 1, i->target);
}

static const Insn *op_lp_setup(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    set_up(c, i, c->r[i->rs1]);
    DONE();
}

static const Insn *op_lp_setupi(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    set_up(c, i, (uint32_t)i->imm);
    DONE();
}

#include "rows.h"

static const Row rows[] = {
#include "loops.def"
};
TABLE(loops);
