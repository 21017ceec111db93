// SPDX-License-Identifier: Apache-2.0
// Xpulpv2: dot products of the lanes of vectors.
#include "handlers.h"

#define S_b(v, k) (uint32_t)(int8_t)((v) >> 8 * (k))
#define U_b(v, k) ((v) >> 8 * (k) & 0xff)
#define S_h(v, k) (uint32_t)(int16_t)((v) >> 16 * (k))
#define U_h(v, k) ((v) >> 16 * (k) & 0xffff)

#define SUM(left, right) \
    static inline uint32_t left##right##_h(uint32_t a, uint32_t b) \
    { \
        return left##_h(a, 0) * right##_h(b, 0) + left##_h(a, 1) * right##_h(b, 1); \
    } \
    static inline uint32_t left##right##_b(uint32_t a, uint32_t b) \
    { \
        return left##_b(a, 0) * right##_b(b, 0) + left##_b(a, 1) * right##_b(b, 1) \
            + left##_b(a, 2) * right##_b(b, 2) + left##_b(a, 3) * right##_b(b, 3); \
    }

SUM(U, U)
SUM(U, S)
SUM(S, S)

static inline uint32_t every_b(uint32_t v) { return (v & 0xff) * 0x01010101u; }
static inline uint32_t every_h(uint32_t v) { return (v & 0xffff) * 0x00010001u; }

#define START_ 0
#define START_D d

#define DOT_OF(name, size, lanes, signs, adds) \
    MAC(pv_##name##_##size, 0, V, lanes, START_##adds + signs##_##size(a, b)) \
    MAC(pv_##name##_sc_##size, 0, V, lanes, START_##adds + signs##_##size(a, every_##size(b))) \
    MAC(pv_##name##_sci_##size, 0, I, lanes, START_##adds + signs##_##size(a, b))

#define DOT(name, code, left, right, adds) \
    DOT_OF(name, h, 2, left##right, adds) \
    DOT_OF(name, b, 4, left##right, adds)

#include "pulp_dot.def"

#include "rows.h"
#undef DOT_OF
#undef DOT
#define WORD(code, bits) ((uint32_t)(code) << 26 | 0x57 | (bits))
#define DOT_OF(name, size, code, right, adds, bit) \
    ROW(pv_##name##_##size, WORD(code, bit), V##adds, PROMPT) \
    ROW(pv_##name##_sc_##size, WORD(code, 0x4000 | bit), V##adds, PROMPT) \
    ROW(pv_##name##_sci_##size, WORD(code, 0x6000 | bit), V##right##adds##_##size, PROMPT)
#define DOT(name, code, left, right, adds) \
    DOT_OF(name, h, code, right, adds, 0) \
    DOT_OF(name, b, code, right, adds, 0x1000)

static const Row rows[] = {
#include "pulp_dot.def"
};
TABLE(dots);
