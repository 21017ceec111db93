// SPDX-License-Identifier: Apache-2.0
// Compressed instructions: each stands for one of 32 bits (RISC-V unprivileged manual, "C").
#include "isa.h"

enum {
    LOAD_ = 0x03,
    IMMEDIATE = 0x13,
    STORE_ = 0x23,
    REGISTER = 0x33,
    UPPER = 0x37,
    BRANCH_ = 0x63,
    INDIRECT = 0x67,
    JUMP = 0x6f
};
enum { EBREAK = 0x00100073 };

// Bits high..low of v, moved to position `to`.
static uint32_t bits(uint32_t v, int high, int low, int to)
{
    return (v >> low & ((1u << (high - low + 1)) - 1)) << to;
}

static uint32_t sign_extend(uint32_t v, int width)
{
    const uint32_t sign = 1u << (width - 1);
    return (v ^ sign) - sign;
}

static uint32_t i_type(uint32_t opcode, uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t imm)
{
    return imm << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}

static uint32_t r_type(uint32_t funct7, uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t rs2)
{
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | REGISTER;
}

static uint32_t store_word(uint32_t rs2, uint32_t rs1, uint32_t imm)
{
    return bits(imm, 11, 5, 25) | rs2 << 20 | rs1 << 15 | 2u << 12 | bits(imm, 4, 0, 7) | STORE_;
}

static uint32_t jump(uint32_t rd, uint32_t imm)
{
    return bits(imm, 20, 20, 31) | bits(imm, 10, 1, 21) | bits(imm, 11, 11, 20) | bits(imm, 19, 12, 12)
        | rd << 7 | JUMP;
}

static uint32_t branch(uint32_t funct3, uint32_t rs1, uint32_t imm)
{
    return bits(imm, 12, 12, 31) | bits(imm, 10, 5, 25) | rs1 << 15 | funct3 << 12 | bits(imm, 4, 1, 8)
        | bits(imm, 11, 11, 7) | BRANCH_;
}

static uint32_t immediate6(uint32_t h) { return sign_extend(bits(h, 12, 12, 5) | bits(h, 6, 2, 0), 6); }

static uint32_t word_offset(uint32_t h) { return bits(h, 12, 10, 3) | bits(h, 6, 6, 2) | bits(h, 5, 5, 6); }

static uint32_t jump_offset(uint32_t h)
{
    return sign_extend(bits(h, 12, 12, 11) | bits(h, 11, 11, 4) | bits(h, 10, 9, 8) | bits(h, 8, 8, 10)
                           | bits(h, 7, 7, 6) | bits(h, 6, 6, 7) | bits(h, 5, 3, 1) | bits(h, 2, 2, 5),
                       12);
}

static uint32_t branch_offset(uint32_t h)
{
    return sign_extend(
        bits(h, 12, 12, 8) | bits(h, 11, 10, 3) | bits(h, 6, 5, 6) | bits(h, 4, 3, 1) | bits(h, 2, 2, 5), 9);
}

// The registers x8..x15 of three bits.
static uint32_t low_register(uint32_t h) { return 8 + bits(h, 4, 2, 0); }
static uint32_t high_register(uint32_t h) { return 8 + bits(h, 9, 7, 0); }

static uint32_t add_to_stack_pointer4(uint32_t h)
{
    const uint32_t imm = bits(h, 12, 11, 4) | bits(h, 10, 7, 6) | bits(h, 6, 6, 2) | bits(h, 5, 5, 3);
    return imm ? i_type(IMMEDIATE, 0, low_register(h), 2, imm) : 0;
}

static uint32_t quadrant0(uint32_t h)
{
    switch (h >> 13) {
    case 0: return add_to_stack_pointer4(h);
    case 2: return i_type(LOAD_, 2, low_register(h), high_register(h), word_offset(h));
    case 6: return store_word(low_register(h), high_register(h), word_offset(h));
    default: return 0;
    }
}

// c.addi16sp and c.lui
static uint32_t upper(uint32_t h, uint32_t rd)
{
    if (rd == 2) {
        const uint32_t imm = sign_extend(bits(h, 12, 12, 9) | bits(h, 6, 6, 4) | bits(h, 5, 5, 6)
                                             | bits(h, 4, 3, 7) | bits(h, 2, 2, 5),
                                         10);
        return imm ? i_type(IMMEDIATE, 0, 2, 2, imm) : 0;
    }
    return immediate6(h) ? immediate6(h) << 12 | rd << 7 | UPPER : 0;
}

static uint32_t arithmetic(uint32_t h)
{
    static const uint8_t funct3[4] = {0, 4, 6, 7};
    const uint32_t rd = high_register(h), kind = bits(h, 6, 5, 0);
    const bool wide = h >> 12 & 1; // shifts beyond 31, and what only 64 bits have
    switch (bits(h, 11, 10, 0)) {
    case 0: return wide ? 0 : i_type(IMMEDIATE, 5, rd, rd, bits(h, 6, 2, 0));
    case 1: return wide ? 0 : i_type(IMMEDIATE, 5, rd, rd, bits(h, 6, 2, 0) | 0x400);
    case 2: return i_type(IMMEDIATE, 7, rd, rd, immediate6(h));
    default: return wide ? 0 : r_type(kind ? 0 : 0x20, funct3[kind], rd, rd, low_register(h));
    }
}

static uint32_t quadrant1(uint32_t h)
{
    const uint32_t rd = bits(h, 11, 7, 0);
    switch (h >> 13) {
    case 0: return i_type(IMMEDIATE, 0, rd, rd, immediate6(h));
    case 1: return jump(1, jump_offset(h));
    case 2: return i_type(IMMEDIATE, 0, rd, 0, immediate6(h));
    case 3: return upper(h, rd);
    case 4: return arithmetic(h);
    case 5: return jump(0, jump_offset(h));
    case 6: return branch(0, high_register(h), branch_offset(h));
    default: return branch(1, high_register(h), branch_offset(h));
    }
}

// c.jr, c.mv, c.ebreak, c.jalr, c.add
static uint32_t moves(uint32_t h, uint32_t rd, uint32_t rs2)
{
    const bool links = h >> 12 & 1;
    if (rs2) return r_type(0, 0, rd, links ? rd : 0, rs2);
    if (rd) return i_type(INDIRECT, 0, links, rd, 0);
    return links ? EBREAK : 0;
}

static uint32_t quadrant2(uint32_t h)
{
    const uint32_t rd = bits(h, 11, 7, 0), rs2 = bits(h, 6, 2, 0);
    const uint32_t stack_offset = bits(h, 12, 12, 5) | bits(h, 6, 4, 2) | bits(h, 3, 2, 6);
    switch (h >> 13) {
    case 0: return h >> 12 & 1 ? 0 : i_type(IMMEDIATE, 1, rd, rd, rs2);
    case 2: return rd ? i_type(LOAD_, 2, rd, 2, stack_offset) : 0;
    case 4: return moves(h, rd, rs2);
    case 6: return store_word(rs2, 2, bits(h, 12, 9, 2) | bits(h, 8, 7, 6));
    default: return 0;
    }
}

uint32_t expand(uint16_t half)
{
    switch (half & 3) {
    case 0: return quadrant0(half);
    case 1: return quadrant1(half);
    case 2: return quadrant2(half);
    default: return 0;
    }
}
