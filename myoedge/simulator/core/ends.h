// SPDX-License-Identifier: Apache-2.0
// How an op begins and ends: it goes on to the next instruction, or hands over. Behind core.h.
#pragma once

#if defined(__clang__) && !defined(NO_TAIL_CALLS)
#define TAIL_RETURN __attribute__((musttail)) return
#define HAND_OVER(c, i) TAIL_RETURN hand_over((c), (i))
#define GO(n) \
    do { \
        const Insn *go_ = (n); \
        TAIL_RETURN go_->op(c, go_); \
    } while (0)
#else
#define TAIL_RETURN return
#define HAND_OVER(c, i) return yield((c), (i))
#define GO(n) return (n)
#endif
// An ordered op starts with this.
#define ORDERED(c, i) \
    do { \
        if ((c)->t >= (c)->turn) HAND_OVER((c), (i)); \
    } while (0)
// What enter_line and the like end with.
#define RUN_OP(op, i) TAIL_RETURN(op)(c, (i))
#define RUN_BODY(i) RUN_OP((i)->body, i)
// The end of an op whose extra cycles are already in c->t.
#define DONE() \
    do { \
        c->t += 1; \
        c->retired += i->retired; \
        GO(i->next); \
    } while (0)
// The same for one whose result is late (kind: STALL_LOAD_USE or STALL_ARITHMETIC).
#define DONE_LATE(kind) \
    do { \
        c->t += 1u + i->use_stall; \
        c->counts.stall[kind] += i->use_stall; \
        c->retired += i->retired; \
        GO(i->next); \
    } while (0)
// Going to an instruction that is not behind this one: a taken branch, a jump, a loop's start.
// Endless loops without any access have to hand over once in a while: c->turn is never NEVER.
#define GO_TO(n) \
    do { \
        const Insn *to_ = (n); \
        if (c->t >= c->turn) HAND_OVER(c, to_); \
        if (to_->line != c->line && !(to_ = fetch(c, to_))) return NULL; \
        GO(to_); \
    } while (0)
