// SPDX-License-Identifier: Apache-2.0
// How an op begins and ends: it goes on to the next instruction, or hands over. Behind core.h.
//
// While ops follow each other, the core's time and what it has retired are in registers, as the
// arguments `t` and `retired` of every op. Whatever looks at c->t or c->retired, or changes them,
// is called between SETTLE and RESUME; an op that returns has settled.
#pragma once

#if defined(__clang__) && !defined(NO_TAIL_CALLS)
#define TAIL_RETURN __attribute__((musttail)) return
#define HAND_OVER(i) TAIL_RETURN hand_over(c, (i), t, retired)
#define GO(n) \
    do { \
        const Insn *go_ = (n); \
        TAIL_RETURN go_->op(c, go_, t, retired); \
    } while (0)
#else
#define TAIL_RETURN return
#define HAND_OVER(i) \
    do { \
        SETTLE(); \
        return yield(c, (i)); \
    } while (0)
#define GO(n) \
    do { \
        SETTLE(); \
        return (n); \
    } while (0)
#endif
// What takes the slow way is a function of its own, so that the fast one saves no registers.
#define APART __attribute__((noinline))
#define SETTLE() (void)(c->t = t, c->retired = retired)
#define RESUME() (void)(t = c->t, retired = c->retired)
// Whether the fetch buffer holds the line of i, or takes it from the core's own cache at no cost.
// (Where op is not body, more than that may have to happen.)
static inline bool has_line(Core *c, const Insn *i)
{
    if (i->line == c->line) return true;
    if (i->op != i->body || !c->present[i->line]) return false;
    c->line = i->line;
    return true;
}

// An ordered op starts with this.
#define ORDERED(i) \
    do { \
        if (t >= c->turn) HAND_OVER(i); \
    } while (0)
// What enter_line and the like end with.
#define RUN_OP(op, i) TAIL_RETURN(op)(c, (i), t, retired)
#define RUN_BODY(i) RUN_OP((i)->body, i)
// The end of an op whose extra cycles are already in t.
#define DONE() \
    do { \
        t += 1; \
        retired += i->retired; \
        GO(i->next); \
    } while (0)
// The same for one whose result is late (kind: STALL_LOAD_USE or STALL_ARITHMETIC).
#define DONE_LATE(kind) \
    do { \
        t += 1u + i->use_stall; \
        c->counts.stall[kind] += i->use_stall; \
        retired += i->retired; \
        GO(i->next); \
    } while (0)
// Going to an instruction that is not behind this one: a taken branch, a jump, a loop's start.
// Endless loops without any access have to hand over once in a while: c->turn is never NEVER.
#define GO_TO(n) \
    do { \
        const Insn *to_ = (n); \
        if (t >= c->turn) HAND_OVER(to_); \
        if (!has_line(c, to_)) RUN_OP(go_to_line, to_); \
        GO(to_); \
    } while (0)
