/* SPDX-License-Identifier: Apache-2.0
 * The operations of me_intrinsics.h in plain C.
 */
#ifndef ME_INTRINSICS_C_H
#define ME_INTRINSICS_C_H

#include <stdint.h>

/* ---- functions of 64-bit numbers, in which the meanings of instructions are written */

static inline int64_t me_number_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t me_number_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t me_number_abs(int64_t a) { return a < 0 ? -a : a; }
static inline int64_t me_number_power(int64_t n) { return (int64_t)1 << (n > 0 ? n : 0); } /* power of two */
static inline int64_t me_number_word(int64_t a) { return (int32_t)a; }
static inline int64_t me_number_half(int64_t a) { return (int16_t)a; }
static inline int64_t me_number_byte(int64_t a) { return (int8_t)a; }

/* Index of the lowest and of the highest set bit, 32 if there is none; number of set bits. */
static inline int64_t me_number_lowest(int64_t a)
{
    int64_t bit = 0;
    while (bit < 32 && !(a >> bit & 1))
        bit++;
    return bit;
}

static inline int64_t me_number_highest(int64_t a)
{
    int64_t bit = 31;
    while (bit >= 0 && !(a >> bit & 1))
        bit--;
    return bit < 0 ? 32 : bit;
}

static inline int64_t me_number_ones(int64_t a)
{
    int64_t count = 0;
    for (; a != 0; a &= a - 1)
        count++;
    return count;
}

/* ---- words of four bytes or two halves */

static inline int32_t me_lane_b(uint32_t word, int32_t i) { return (int8_t)(word >> (8 * i)); }
static inline int32_t me_lane_h(uint32_t word, int32_t i) { return (int16_t)(word >> (16 * i)); }
static inline int32_t me_lane_bu(uint32_t word, int32_t i) { return (uint8_t)(word >> (8 * i)); }
static inline int32_t me_lane_hu(uint32_t word, int32_t i) { return (uint16_t)(word >> (16 * i)); }

#define ME_LANES_b 4
#define ME_LANES_h 2

/* Each lane of the result is MEANING of p and q, which are the lanes of a and b read as LANE. */
#define ME_LANES_2(NAME, KIND, LANE, MEANING) \
    static inline uint32_t NAME##_##KIND(uint32_t a, uint32_t b) \
    { \
        const int32_t width = 32 / ME_LANES_##KIND; \
        uint32_t result = 0; \
        for (int32_t i = 0; i < ME_LANES_##KIND; i++) { \
            const int32_t p = LANE(a, i), q = LANE(b, i); \
            result |= ((uint32_t)(MEANING) & (0xFFFFFFFFu >> (32 - width))) << (width * i); \
        } \
        return result; \
    }
#define ME_LANES_1(NAME, KIND, LANE, MEANING) \
    static inline uint32_t NAME##_##KIND(uint32_t a) \
    { \
        const int32_t width = 32 / ME_LANES_##KIND; \
        uint32_t result = 0; \
        for (int32_t i = 0; i < ME_LANES_##KIND; i++) { \
            const int32_t p = LANE(a, i); \
            result |= ((uint32_t)(MEANING) & (0xFFFFFFFFu >> (32 - width))) << (width * i); \
        } \
        return result; \
    }

/* Sums of products of lanes, modulo 2**32. */
#define ME_DOT(SUFFIX, KIND, LEFT, RIGHT) \
    static inline int32_t me_sdot##SUFFIX##_##KIND(int32_t acc, uint32_t a, uint32_t b) \
    { \
        for (int32_t i = 0; i < ME_LANES_##KIND; i++) \
            acc = me_mac(acc, LEFT(a, i), RIGHT(b, i)); \
        return acc; \
    } \
    static inline int32_t me_dot##SUFFIX##_##KIND(uint32_t a, uint32_t b) \
    { \
        return me_sdot##SUFFIX##_##KIND(0, a, b); \
    }

/* generated from xpulp/instructions.toml by tests/isa/xpulp.py */
static inline int32_t me_mac(int32_t acc, int32_t a, int32_t b)
{
    return (int32_t)((int64_t)acc + (int64_t)a * (int64_t)b);
}

static inline int32_t me_msu(int32_t acc, int32_t a, int32_t b)
{
    return (int32_t)((int64_t)acc - (int64_t)a * (int64_t)b);
}

static inline int32_t me_min(int32_t a, int32_t b)
{
    return (int32_t)(me_number_min((int64_t)a, (int64_t)b));
}

static inline uint32_t me_minu(uint32_t a, uint32_t b)
{
    return (uint32_t)(me_number_min((int64_t)a, (int64_t)b));
}

static inline int32_t me_max(int32_t a, int32_t b)
{
    return (int32_t)(me_number_max((int64_t)a, (int64_t)b));
}

static inline uint32_t me_maxu(uint32_t a, uint32_t b)
{
    return (uint32_t)(me_number_max((int64_t)a, (int64_t)b));
}

static inline int32_t me_abs(int32_t a)
{
    return (int32_t)(me_number_abs((int64_t)a));
}

static inline int32_t me_ff1(uint32_t a)
{
    return (int32_t)(me_number_lowest((int64_t)a));
}

static inline int32_t me_fl1(uint32_t a)
{
    return (int32_t)(me_number_highest((int64_t)a));
}

static inline int32_t me_cnt(uint32_t a)
{
    return (int32_t)(me_number_ones((int64_t)a));
}

static inline int32_t me_exths(int32_t a)
{
    return (int32_t)(me_number_half((int64_t)a));
}

static inline int32_t me_exthz(int32_t a)
{
    return (int32_t)((int64_t)a & 65535);
}

static inline int32_t me_extbs(int32_t a)
{
    return (int32_t)(me_number_byte((int64_t)a));
}

static inline int32_t me_extbz(int32_t a)
{
    return (int32_t)((int64_t)a & 255);
}

static inline uint32_t me_ror(uint32_t a, uint32_t b)
{
    return (uint32_t)(((int64_t)a >> ((int64_t)b & 31)) | ((int64_t)a << (-(int64_t)b & 31)));
}

static inline int32_t me_clips(int32_t a, int32_t n)
{
    return (int32_t)(me_number_min(me_number_max((int64_t)a, -me_number_power(n - 1)), me_number_power(n - 1) - 1));
}

static inline int32_t me_clipu(int32_t a, int32_t bits)
{
    return (int32_t)(me_number_min(me_number_max((int64_t)a, 0), me_number_power(((bits) + 1) - 1) - 1));
}

static inline int32_t me_addRN(int32_t a, int32_t b, int32_t n)
{
    return (int32_t)(me_number_word((int64_t)a + (int64_t)b + me_number_power(n) / 2) >> n);
}

static inline int32_t me_mulsRN(int32_t a, int32_t b, int32_t n)
{
    return (int32_t)(me_number_word(me_number_half((int64_t)a) * me_number_half((int64_t)b) + me_number_power(n) / 2) >> n);
}

static inline int32_t me_macsRN(int32_t acc, int32_t a, int32_t b, int32_t n)
{
    return (int32_t)(me_number_word((int64_t)acc + me_number_half((int64_t)a) * me_number_half((int64_t)b) + me_number_power(n) / 2) >> n);
}

static inline int32_t me_extract(int32_t a, int32_t size, int32_t at)
{
    return (int32_t)(me_number_word((int64_t)a * me_number_power(32 - size - at)) >> (32 - me_number_min(size, 32 - at)));
}

static inline uint32_t me_extractu(uint32_t a, int32_t size, int32_t at)
{
    return (uint32_t)(((int64_t)a >> at) & (me_number_power(size) - 1));
}

static inline uint32_t me_insert(uint32_t acc, uint32_t a, int32_t size, int32_t at)
{
    return (uint32_t)(((int64_t)acc & ~((me_number_power(size) - 1) << at)) | (((int64_t)a & (me_number_power(size) - 1)) << at));
}

ME_LANES_2(me_add, h, me_lane_h, p + q)
ME_LANES_2(me_add, b, me_lane_b, p + q)
ME_LANES_2(me_sub, h, me_lane_h, p - q)
ME_LANES_2(me_sub, b, me_lane_b, p - q)
ME_LANES_2(me_min, h, me_lane_h, me_number_min(p, q))
ME_LANES_2(me_min, b, me_lane_b, me_number_min(p, q))
ME_LANES_2(me_minu, h, me_lane_hu, me_number_min(p, q))
ME_LANES_2(me_minu, b, me_lane_bu, me_number_min(p, q))
ME_LANES_2(me_max, h, me_lane_h, me_number_max(p, q))
ME_LANES_2(me_max, b, me_lane_b, me_number_max(p, q))
ME_LANES_2(me_maxu, h, me_lane_hu, me_number_max(p, q))
ME_LANES_2(me_maxu, b, me_lane_bu, me_number_max(p, q))
ME_LANES_2(me_sra, h, me_lane_h, p >> (q & (width - 1)))
ME_LANES_2(me_sra, b, me_lane_b, p >> (q & (width - 1)))
ME_LANES_1(me_abs, h, me_lane_h, me_number_abs(p))
ME_LANES_1(me_abs, b, me_lane_b, me_number_abs(p))
ME_DOT(up, h, me_lane_hu, me_lane_hu)
ME_DOT(up, b, me_lane_bu, me_lane_bu)
ME_DOT(usp, h, me_lane_hu, me_lane_h)
ME_DOT(usp, b, me_lane_bu, me_lane_b)
ME_DOT(sp, h, me_lane_h, me_lane_h)
ME_DOT(sp, b, me_lane_b, me_lane_b)
/* end of what is generated */

static inline uint32_t me_pack_h(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
}

static inline uint32_t me_pack_b(int32_t b0, int32_t b1, int32_t b2, int32_t b3)
{
    return me_pack_h((b0 & 0xFF) | (b1 & 0xFF) << 8, (b2 & 0xFF) | (b3 & 0xFF) << 8);
}

/* ---- memory: little endian, at any address */

#define ME_BYTE(pointer, i) ((uint32_t)(uint8_t)(pointer)[i])

static inline uint32_t me_step_w(const int8_t **at, int32_t bytes)
{
    const int8_t *p = *at;
    *at = p + bytes;
    return ME_BYTE(p, 0) | ME_BYTE(p, 1) << 8 | ME_BYTE(p, 2) << 16 | ME_BYTE(p, 3) << 24;
}

static inline int32_t me_step_b(const int8_t **at, int32_t bytes)
{
    const int8_t *p = *at;
    *at = p + bytes;
    return *p;
}

static inline int32_t me_step_h(const int8_t **at, int32_t bytes)
{
    const int8_t *p = *at;
    *at = p + bytes;
    return (int16_t)(ME_BYTE(p, 0) | ME_BYTE(p, 1) << 8);
}

static inline uint32_t me_next_w(const int8_t **at) { return me_step_w(at, 4); }
static inline int32_t me_next_b(const int8_t **at) { return me_step_b(at, 1); }
static inline int32_t me_next_bu(const int8_t **at) { return (uint8_t)me_step_b(at, 1); }

static inline int32_t me_next_hu(const int8_t **at)
{
    const int8_t *p = *at;
    *at = p + 2;
    return (int32_t)(ME_BYTE(p, 0) | ME_BYTE(p, 1) << 8);
}

static inline int32_t me_next_h(const int8_t **at) { return (int16_t)me_next_hu(at); }

static inline int32_t me_at_b(const void *middle, int32_t at) { return ((const int8_t *)middle)[at]; }
static inline int32_t me_at_bu(const void *middle, int32_t at) { return ((const uint8_t *)middle)[at]; }

static inline void me_put_b(int8_t **at, int32_t x) { *(*at)++ = (int8_t)x; }

static inline void me_put_h(int8_t **at, int32_t x)
{
    me_put_b(at, x);
    me_put_b(at, x >> 8);
}

static inline void me_put_w(int8_t **at, uint32_t x)
{
    me_put_h(at, (int32_t)x);
    me_put_h(at, (int32_t)(x >> 16));
}

#endif
