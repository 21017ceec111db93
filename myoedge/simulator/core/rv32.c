// SPDX-License-Identifier: Apache-2.0
// RV32I without the system part, and M; compressed instructions run as what they stand for.
#include "handlers.h"

// mulhsu: |a * b| < 2^63, as b < 2^32 and |a| <= 2^31.
#define MULTIPLY(name, match, kind, value) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        const uint32_t a = c->r[i->rs1], b = c->r[i->rs2]; \
        c->r[i->rd] = (uint32_t)(value); \
        t += held(c, c->m->chip.kind##_cycles); \
        c->tally.kind++; \
        c->tally.kind##_use += i->use_stall; \
        DONE_LATE(STALL_ARITHMETIC); \
    }

#define DIVIDE(name, match, divisor, value) \
    static const Insn *op_##name(Core *c, const Insn *i, Cycle t, uint64_t retired) \
    { \
        const uint32_t a = c->r[i->rs1], b = c->r[i->rs2]; \
        c->r[i->rd] = (value); \
        t += held(c, division_cycles(c, divisor)); \
        DONE_LATE(STALL_ARITHMETIC); \
    }

// Of an instruction of so many cycles, those beyond the one that DONE counts.
static inline uint32_t held(Core *c, uint32_t cycles)
{
    c->counts.stall[STALL_ARITHMETIC] += cycles - 1;
    return cycles - 1;
}

static uint32_t division_cycles(const Core *c, uint32_t divisor)
{
    const Chip *chip = &c->m->chip;
    if (!divisor) return chip->div_by_zero_cycles;
    return chip->div_base_cycles + (uint32_t)__builtin_clz(divisor);
}

static uint32_t magnitude(uint32_t v) { return (int32_t)v < 0 ? 0u - v : v; }

// Division by -1 apart: the smallest number has no opposite.
static uint32_t quotient(uint32_t a, uint32_t b)
{
    if (b == 0) return 0xffffffffu;
    if (b == 0xffffffffu) return 0u - a;
    return (uint32_t)((int32_t)a / (int32_t)b);
}

static uint32_t remainder_of(uint32_t a, uint32_t b)
{
    if (b == 0) return a;
    if (b == 0xffffffffu) return 0;
    return (uint32_t)((int32_t)a % (int32_t)b);
}

// Counts a jump; returns its cycles. What follows is GO_TO.
static inline uint32_t jump(Core *c)
{
    const uint32_t stall = c->m->chip.jump_stall;
    c->counts.jumps++;
    c->counts.stall[STALL_JUMP] += stall;
    return 1u + stall;
}

// imm is the address of the instruction behind.
static const Insn *op_jal(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    LOOK_AHEAD();
    c->r[i->rd] = (uint32_t)i->imm;
    t += jump(c);
    retired += i->retired;
    GO_TO(i->target);
}

static const Insn *op_jalr(Core *c, const Insn *i, Cycle t, uint64_t retired)
{
    const uint32_t to = (c->r[i->rs1] + (uint32_t)i->imm) & ~1u;
    LOOK_AHEAD();
    SETTLE(); // it may be a fault
    const Insn *at = insn_at(c, i, to);
    c->r[i->rd] = pc_of(c->m, i) + i->size;
    t += jump(c);
    retired += i->retired;
    GO_TO(at);
}

#include "rv32.def"

#include "rows.h"
#undef MULTIPLY
#undef DIVIDE
#define LATE_mul LATE_MUL
#define LATE_mulh LATE_MULH
#define MULTIPLY(name, match, kind, value) ROW(name, match, R, LATE_##kind)
#define DIVIDE(name, match, divisor, value) ROW(name, match, R, LATE_DIV)

static const Row rows[] = {
#include "rv32.def"
};
TABLE(rv32);
