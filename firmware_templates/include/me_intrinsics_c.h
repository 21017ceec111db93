/* SPDX-License-Identifier: Apache-2.0
 * The operations of me_intrinsics.h in plain C.
 */
#ifndef ME_INTRINSICS_C_H
#define ME_INTRINSICS_C_H

#include <stdint.h>

/* ---- one number */

static inline int32_t me_mac(int32_t acc, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)acc + (uint32_t)a * (uint32_t)b);
}

static inline int32_t me_msu(int32_t acc, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)acc - (uint32_t)a * (uint32_t)b);
}

static inline int32_t me_min(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t me_max(int32_t a, int32_t b) { return a > b ? a : b; }
static inline uint32_t me_minu(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t me_maxu(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline int32_t me_abs(int32_t x) { return (int32_t)(x < 0 ? 0u - (uint32_t)x : (uint32_t)x); }

static inline int32_t me_clips(int32_t x, int32_t bits)
{
    const int32_t top = (int32_t)((1u << (bits - 1)) - 1u);
    return me_min(me_max(x, -top - 1), top);
}

static inline int32_t me_clipu(int32_t x, int32_t bits)
{
    return me_min(me_max(x, 0), (int32_t)((1u << bits) - 1u));
}

static inline int32_t me_exths(int32_t x) { return (int16_t)x; }
static inline int32_t me_exthz(int32_t x) { return (uint16_t)x; }
static inline int32_t me_extbs(int32_t x) { return (int8_t)x; }
static inline int32_t me_extbz(int32_t x) { return (uint8_t)x; }

static inline int32_t me_addRN(int32_t a, int32_t b, int32_t shift)
{
    return (int32_t)((uint32_t)a + (uint32_t)b + (1u << (shift - 1))) >> shift;
}

static inline int32_t me_mulsRN(int32_t a, int32_t b, int32_t shift)
{
    return me_addRN(me_exths(a) * me_exths(b), 0, shift);
}

static inline int32_t me_macsRN(int32_t acc, int32_t a, int32_t b, int32_t shift)
{
    return me_addRN(me_exths(a) * me_exths(b), acc, shift);
}

/* ---- bits */

static inline uint32_t me_bits(int32_t size) { return 0xFFFFFFFFu >> (32 - size); }

static inline uint32_t me_extractu(uint32_t x, int32_t size, int32_t at)
{
    return x >> at & me_bits(size);
}

static inline int32_t me_extract(int32_t x, int32_t size, int32_t at)
{
    return (int32_t)((uint32_t)x << (32 - size - at)) >> (32 - size);
}

static inline uint32_t me_insert(uint32_t into, uint32_t x, int32_t size, int32_t at)
{
    return (into & ~(me_bits(size) << at)) | (x & me_bits(size)) << at;
}

static inline int32_t me_ff1(uint32_t x)
{
    int32_t bit = 0;
    while (bit < 32 && !(x >> bit & 1u))
        bit++;
    return bit;
}

static inline int32_t me_fl1(uint32_t x)
{
    int32_t bit = 31;
    while (bit >= 0 && !(x >> bit & 1u))
        bit--;
    return bit < 0 ? 32 : bit;
}

static inline int32_t me_cnt(uint32_t x)
{
    int32_t count = 0;
    for (; x != 0; x &= x - 1u)
        count++;
    return count;
}

static inline uint32_t me_ror(uint32_t x, int32_t n)
{
    return n == 0 ? x : x >> n | x << (32 - n);
}

/* ---- words of four bytes or two halves */

static inline int32_t me_lane_b(uint32_t word, int32_t i) { return (int8_t)(word >> (8 * i)); }
static inline int32_t me_lane_h(uint32_t word, int32_t i) { return (int16_t)(word >> (16 * i)); }
static inline int32_t me_lane_bu(uint32_t word, int32_t i) { return (uint8_t)(word >> (8 * i)); }
static inline int32_t me_lane_hu(uint32_t word, int32_t i) { return (uint16_t)(word >> (16 * i)); }

#define ME_LANES_b 4
#define ME_LANES_h 2

/* result lane = EXPRESSION of p and q, the lanes of a and b as LANE reads them */
#define ME_LANEWISE(NAME, KIND, LANE, EXPRESSION)                                               \
    static inline uint32_t NAME##_##KIND(uint32_t a, uint32_t b)                                \
    {                                                                                           \
        const int32_t width = 32 / ME_LANES_##KIND;                                             \
        uint32_t result = 0;                                                                    \
        for (int32_t i = 0; i < ME_LANES_##KIND; i++) {                                         \
            const int32_t p = LANE(a, i), q = LANE(b, i);                                       \
            result |= ((uint32_t)(EXPRESSION) & me_bits(width)) << (width * i);                 \
        }                                                                                       \
        return result;                                                                          \
    }

#define ME_LANEWISE_BOTH(NAME, SIGN, EXPRESSION)                                                \
    ME_LANEWISE(NAME, b, me_lane_b##SIGN, EXPRESSION)                                           \
    ME_LANEWISE(NAME, h, me_lane_h##SIGN, EXPRESSION)

ME_LANEWISE_BOTH(me_add, , p + q)
ME_LANEWISE_BOTH(me_sub, , p - q)
ME_LANEWISE_BOTH(me_min, , p < q ? p : q)
ME_LANEWISE_BOTH(me_max, , p > q ? p : q)
ME_LANEWISE_BOTH(me_minu, u, p < q ? p : q)
ME_LANEWISE_BOTH(me_maxu, u, p > q ? p : q)
ME_LANEWISE_BOTH(me_magnitude, , p < 0 ? q - p : p)

static inline uint32_t me_abs_b(uint32_t x) { return me_magnitude_b(x, 0); }
static inline uint32_t me_abs_h(uint32_t x) { return me_magnitude_h(x, 0); }

#define ME_DOT(SUFFIX, KIND, LEFT, RIGHT)                                                       \
    static inline int32_t me_sdot##SUFFIX##_##KIND(int32_t acc, uint32_t a, uint32_t b)         \
    {                                                                                           \
        for (int32_t i = 0; i < ME_LANES_##KIND; i++)                                           \
            acc = me_mac(acc, LEFT(a, i), RIGHT(b, i));                                         \
        return acc;                                                                             \
    }                                                                                           \
    static inline int32_t me_dot##SUFFIX##_##KIND(uint32_t a, uint32_t b)                       \
    {                                                                                           \
        return me_sdot##SUFFIX##_##KIND(0, a, b);                                               \
    }

ME_DOT(sp, b, me_lane_b, me_lane_b)
ME_DOT(up, b, me_lane_bu, me_lane_bu)
ME_DOT(usp, b, me_lane_bu, me_lane_b)
ME_DOT(sp, h, me_lane_h, me_lane_h)
ME_DOT(up, h, me_lane_hu, me_lane_hu)
ME_DOT(usp, h, me_lane_hu, me_lane_h)

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
