// SPDX-License-Identifier: Apache-2.0
// What the lines of a .def file are when handlers are made of them. In the expressions a is rs1,
// b is rs2 or the immediate, d is what rd holds, n is the shift of a normalising instruction.
#include "access.h"
#include "isa.h"

// The second operand, by format.
#define SECOND_R c->r[i->rs2]
#define SECOND_R1 0
#define SECOND_RD c->r[i->rs2]
#define SECOND_I (uint32_t)i->imm
#define SECOND_SHIFT (uint32_t)i->imm
#define SECOND_U (uint32_t)i->imm
#define SECOND_PC (uint32_t)i->imm
#define SECOND_B c->r[i->rs2]
#define SECOND_BI (uint32_t)i->imm
#define SECOND_BITS (uint32_t)i->imm
#define SECOND_BITSD (uint32_t)i->imm
#define SECOND_NORM c->r[i->rs2]
#define SECOND_NORMD c->r[i->rs2]
#define SECOND_V c->r[i->rs2]
#define SECOND_VD c->r[i->rs2]
#define SECOND_V1 0
#define SECOND_V2 c->r[i->rs2]
#define SECOND_V6 (uint32_t)i->imm
#define SECOND_V6D (uint32_t)i->imm

#define OPERANDS(format) \
    const uint32_t a = c->r[i->rs1], b = SECOND_##format, d = c->r[i->rd], n = (uint32_t)i->imm; \
    (void)a, (void)b, (void)d, (void)n

#define OP(name, match, format)

#define ALU(name, match, format, value) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        OPERANDS(format); \
        c->r[i->rd] = (uint32_t)(value); \
        DONE(); \
    }

// The same, being so many multiply-accumulates.
#define MAC(name, match, format, macs_, value) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        OPERANDS(format); \
        c->r[i->rd] = (uint32_t)(value); \
        c->counts.macs += macs_; \
        DONE(); \
    }

#define BRANCH(name, match, format, condition) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        OPERANDS(format); \
        if (condition) TAKE(); \
        c->counts.branches++; \
        DONE(); \
    }

// The core goes on fetching by address until it knows better, so that a jump in the last words of a line has
// the next one fetched, and waits for it.
#define LOOK_AHEAD() \
    do { \
        if (!i->ahead) break; \
        if (c->present[i->line + 1]) { \
            c->line = i->line + 1; \
            break; \
        } \
        SETTLE(); \
        if (!fetch_ahead(c, i)) return NULL; \
        RESUME(); \
    } while (0)

// A taken branch.
#define TAKE() \
    do { \
        LOOK_AHEAD(); \
        c->counts.branches++; \
        c->counts.taken++; \
        t += 1u + c->m->chip.branch_taken_stall; \
        c->counts.stall[STALL_JUMP] += c->m->chip.branch_taken_stall; \
        retired += i->retired; \
        if (i->spins) RUN_OP(spin, i); \
        GO_TO(i->target); \
    } while (0)

// Addresses, by format, and what rs1 holds afterwards. The loaded value is written first: where
// rd is rs1, an immediate is added to it, while the sum of two registers takes its place.
#define ADDRESS_L c->r[i->rs1] + (uint32_t)i->imm
#define ADDRESS_LX c->r[i->rs1] + c->r[i->rs2]
#define ADDRESS_LP c->r[i->rs1]
#define ADDRESS_LXP c->r[i->rs1]
#define ADDRESS_S c->r[i->rs1] + (uint32_t)i->imm
#define ADDRESS_SX c->r[i->rs1] + c->r[i->rd]
#define ADDRESS_SP c->r[i->rs1]
#define ADDRESS_SXP c->r[i->rs1]

#define AFTER_L
#define AFTER_LX
#define AFTER_LP c->r[i->base] = c->r[i->rs1] + (uint32_t)i->imm
#define AFTER_LXP c->r[i->base] = address + offset
#define AFTER_S
#define AFTER_SX
#define AFTER_SP c->r[i->base] = address + (uint32_t)i->imm
#define AFTER_SXP c->r[i->base] = address + c->r[i->rd]

#define LOAD(name, match, format, type) \
    APART static const Insn *slow_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        const uint32_t address = ADDRESS_##format, offset = c->r[i->rs2]; \
        (void)offset; \
        SETTLE(); \
        c->r[i->rd] = (uint32_t)(type)load(c, i, address, sizeof(type)); \
        RESUME(); \
        if ((address & 3) + sizeof(type) > 4) t += more_after_misaligned(c, i); \
        AFTER_##format; \
        DONE_LATE(STALL_LOAD_USE); \
    } \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        ORDERED(i); \
        const uint32_t address = ADDRESS_##format, offset = c->r[i->rs2]; \
        const uint32_t in_l1 = address - c->m->chip.l1_base; \
        (void)offset; \
        if (!is_plain_l1(c, in_l1, sizeof(type))) RUN_OP(slow_##name, i); \
        c->counts.loads++; \
        t = served_by_bank(c, in_l1, t); \
        type value; \
        memcpy(&value, c->m->l1 + in_l1, sizeof value); \
        c->r[i->rd] = (uint32_t)value; \
        AFTER_##format; \
        DONE_LATE(STALL_LOAD_USE); \
    }

#define STORE(name, match, format, type) \
    APART static const Insn *slow_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        const uint32_t address = ADDRESS_##format; \
        SETTLE(); \
        store(c, i, address, sizeof(type), (type)c->r[i->rs2]); \
        RESUME(); \
        AFTER_##format; \
        t += 1; \
        retired += i->retired; \
        GO_TO(i->next); /* it may have emptied the instruction cache */ \
    } \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        ORDERED(i); \
        const uint32_t address = ADDRESS_##format, in_l1 = address - c->m->chip.l1_base; \
        const type value = (type)c->r[i->rs2]; \
        if (!is_plain_l1(c, in_l1, sizeof(type))) RUN_OP(slow_##name, i); \
        c->counts.stores++; \
        t = served_by_bank(c, in_l1, t); \
        memcpy(c->m->l1 + in_l1, &value, sizeof value); \
        AFTER_##format; \
        DONE(); \
    }

// A misaligned load has a wait of its own if its value is used at once.
static inline Cycle more_after_misaligned(const Core *c, const Insn *i)
{
    return i->use_stall ? (Cycle)c->m->chip.misaligned_load_use_stall - i->use_stall : 0;
}
