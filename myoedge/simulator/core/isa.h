// SPDX-License-Identifier: Apache-2.0
// The instruction set as tables. An instruction is one line of a .def file: a family, its name,
// the bits that are fixed, its format and its meaning. handlers.h makes handlers of the lines,
// rows.h makes rows of the table that decode.c looks them up in.
#pragma once
#include "core.h"

// What the fields of a format are good for.
enum Field {
    DEST = 1,      // rd is written
    READ1 = 2,     // rs1 is read
    READ2 = 4,     // rs2 is read
    READ3 = 8,     // the register in rd's place is read
    BASE = 16      // rs1 is written as well: post-increment
};

// Which bits of the word make up `imm`.
enum Immediate {
    NO_IMM,
    IMM_I,
    IMM_S,
    IMM_U,
    IMM_PC,
    IMM_LINK,
    IMM_CSR,
    IMM_SHIFT,
    IMM_BITS,
    IMM_NORM,
    IMM_5S,
    IMM_12U,
    IMM_6U,
    IMM_6S_B,
    IMM_6S_H,
    IMM_6U_B,
    IMM_6U_H
};

// Which bits of the word make up the distance to `target`.
enum Distance { NO_TARGET, TO_BRANCH, TO_JUMP, TO_LOOP, TO_LOOP_SHORT };

// Format: fixed bits, fields, immediate, distance. Names: R registers, I immediate, D reads rd too,
// L load, S store, X register offset, P post-increment, V vector, H hardware loop.
#define FORMATS(F) \
    F(R, 0xfe00707f, DEST | READ1 | READ2, NO_IMM, NO_TARGET) \
    F(R1, 0xfff0707f, DEST | READ1, NO_IMM, NO_TARGET) \
    F(RD, 0xfe00707f, DEST | READ1 | READ2 | READ3, NO_IMM, NO_TARGET) \
    F(I, 0x0000707f, DEST | READ1, IMM_I, NO_TARGET) \
    F(SHIFT, 0xfe00707f, DEST | READ1, IMM_SHIFT, NO_TARGET) \
    F(U, 0x0000007f, DEST, IMM_U, NO_TARGET) \
    F(PC, 0x0000007f, DEST, IMM_PC, NO_TARGET) \
    F(J, 0x0000007f, DEST, IMM_LINK, TO_JUMP) \
    F(B, 0x0000707f, READ1 | READ2, NO_IMM, TO_BRANCH) \
    F(BI, 0x0000707f, READ1, IMM_5S, TO_BRANCH) \
    F(L, 0x0000707f, DEST | READ1, IMM_I, NO_TARGET) \
    F(LX, 0xfe00707f, DEST | READ1 | READ2, NO_IMM, NO_TARGET) \
    F(LP, 0x0000707f, DEST | READ1 | BASE, IMM_I, NO_TARGET) \
    F(LXP, 0xfe00707f, DEST | READ1 | READ2 | BASE, NO_IMM, NO_TARGET) \
    F(S, 0x0000707f, READ1 | READ2, IMM_S, NO_TARGET) \
    F(SX, 0xfe00707f, READ1 | READ2 | READ3, NO_IMM, NO_TARGET) \
    F(SP, 0x0000707f, READ1 | READ2 | BASE, IMM_S, NO_TARGET) \
    F(SXP, 0xfe00707f, READ1 | READ2 | READ3 | BASE, NO_IMM, NO_TARGET) \
    F(FENCE, 0x0000707f, 0, NO_IMM, NO_TARGET) \
    F(EXACT, 0xffffffff, 0, NO_IMM, NO_TARGET) \
    F(CSR, 0x0000707f, DEST | READ1, IMM_CSR, NO_TARGET) \
    F(CSRI, 0x0000707f, DEST, IMM_CSR, NO_TARGET) \
    F(BITS, 0xc000707f, DEST | READ1, IMM_BITS, NO_TARGET) \
    F(BITSD, 0xc000707f, DEST | READ1 | READ3, IMM_BITS, NO_TARGET) \
    F(NORM, 0xc000707f, DEST | READ1 | READ2, IMM_NORM, NO_TARGET) \
    F(NORMD, 0xc000707f, DEST | READ1 | READ2 | READ3, IMM_NORM, NO_TARGET) \
    F(V, 0xfc00707f, DEST | READ1 | READ2, NO_IMM, NO_TARGET) \
    F(VD, 0xfc00707f, DEST | READ1 | READ2 | READ3, NO_IMM, NO_TARGET) \
    F(V1, 0xfe00707f, DEST | READ1, NO_IMM, NO_TARGET) \
    F(V2, 0xfe00707f, DEST | READ1 | READ2, NO_IMM, NO_TARGET) \
    F(V6, 0xfc00707f, DEST | READ1, IMM_6U, NO_TARGET) \
    F(V6D, 0xfc00707f, DEST | READ1 | READ3, IMM_6U, NO_TARGET) \
    F(VS_b, 0xfc00707f, DEST | READ1, IMM_6S_B, NO_TARGET) \
    F(VS_h, 0xfc00707f, DEST | READ1, IMM_6S_H, NO_TARGET) \
    F(VU_b, 0xfc00707f, DEST | READ1, IMM_6U_B, NO_TARGET) \
    F(VU_h, 0xfc00707f, DEST | READ1, IMM_6U_H, NO_TARGET) \
    F(VSD_b, 0xfc00707f, DEST | READ1 | READ3, IMM_6S_B, NO_TARGET) \
    F(VSD_h, 0xfc00707f, DEST | READ1 | READ3, IMM_6S_H, NO_TARGET) \
    F(VUD_b, 0xfc00707f, DEST | READ1 | READ3, IMM_6U_B, NO_TARGET) \
    F(VUD_h, 0xfc00707f, DEST | READ1 | READ3, IMM_6U_H, NO_TARGET) \
    F(HTO, 0x00007f7f, 0, NO_IMM, TO_LOOP) \
    F(HCOUNT, 0x00007f7f, READ1, NO_IMM, NO_TARGET) \
    F(HCI, 0x00007f7f, 0, IMM_12U, NO_TARGET) \
    F(HSET, 0x00007f7f, READ1, NO_IMM, TO_LOOP) \
    F(HSETI, 0x00007f7f, 0, IMM_12U, TO_LOOP_SHORT)

enum Format {
#define F(name, mask, fields, immediate, distance) FORMAT_##name,
    FORMATS(F)
#undef F
};

typedef struct {
    const char *name;  // as in the .def file: dots are underscores
    uint32_t match;    // the fixed bits
    uint8_t format;
    uint8_t late;      // enum Late
    Op op;
} Row;

typedef struct {
    const Row *rows;
    size_t count;
} Table;

extern const Table table_rv32, table_system, table_csr, table_loops, table_memory, table_alu, table_products,
    table_simd, table_dots;

// The 32-bit instruction that a compressed one stands for; 0 (illegal) where it is none.
uint32_t expand(uint16_t half);
