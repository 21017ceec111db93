/* SPDX-License-Identifier: Apache-2.0
 * The operations of me_intrinsics.h with builtins of the GAP SDK's compiler. That compiler generates
 * post-increments and simple instructions from plain C.
 */
#ifndef ME_INTRINSICS_SDK_H
#define ME_INTRINSICS_SDK_H

#include <stdint.h>

typedef int8_t me_bytes __attribute__((vector_size(4)));
typedef uint8_t me_bytesu __attribute__((vector_size(4)));
typedef int16_t me_halves __attribute__((vector_size(4)));
typedef uint16_t me_halvesu __attribute__((vector_size(4)));

/* ---- scalars: compiler builtins that take limits or masks, and plain C */

#define me_clips(x, bits) \
    __builtin_pulp_clip((x), -(int32_t)(1u << ((bits) - 1)), (int32_t)((1u << ((bits) - 1)) - 1u))
#define me_clipu(x, bits) ((int32_t)__builtin_pulp_clipu((x), 0, (int32_t)((1u << (bits)) - 1u)))
#define ME_MASK(size, at) (0xFFFFFFFFu >> (32 - (size)) << (at))
#define me_insert(into, x, size, at) \
    ((uint32_t)__builtin_pulp_binsert((into), ~ME_MASK(size, at), (x), ME_MASK(size, at), (at)))

static inline int32_t me_abs(int32_t x) { return (int32_t)(x < 0 ? 0u - (uint32_t)x : (uint32_t)x); }
static inline int32_t me_exths(int32_t x) { return (int16_t)x; }
static inline int32_t me_exthz(int32_t x) { return (uint16_t)x; }
static inline int32_t me_extbs(int32_t x) { return (int8_t)x; }
static inline int32_t me_extbz(int32_t x) { return (uint8_t)x; }
static inline uint32_t me_ror(uint32_t x, uint32_t n) { return x >> n | x << (-n & 31); }

/* ---- words of four bytes or two halves */

#define ME_BUILTIN_2(NAME, BUILTIN, BYTES, HALVES) \
    static inline uint32_t NAME##_b(uint32_t a, uint32_t b) \
    { \
        return (uint32_t)__builtin_pulp_##BUILTIN##4((BYTES)a, (BYTES)b); \
    } \
    static inline uint32_t NAME##_h(uint32_t a, uint32_t b) \
    { \
        return (uint32_t)__builtin_pulp_##BUILTIN##2((HALVES)a, (HALVES)b); \
    }
#define ME_BUILTIN_1(NAME, BUILTIN, BYTES, HALVES) \
    static inline uint32_t NAME##_b(uint32_t a) { return (uint32_t)__builtin_pulp_##BUILTIN##4((BYTES)a); } \
    static inline uint32_t NAME##_h(uint32_t a) { return (uint32_t)__builtin_pulp_##BUILTIN##2((HALVES)a); }
#define ME_BUILTIN_DOT(SUFFIX, KIND, LANES, LEFT, RIGHT) \
    static inline int32_t me_dot##SUFFIX##_##KIND(uint32_t a, uint32_t b) \
    { \
        return (int32_t)__builtin_pulp_dot##SUFFIX##LANES((LEFT)a, (RIGHT)b); \
    } \
    static inline int32_t me_sdot##SUFFIX##_##KIND(int32_t acc, uint32_t a, uint32_t b) \
    { \
        return (int32_t)__builtin_pulp_sdot##SUFFIX##LANES((LEFT)a, (RIGHT)b, acc); \
    }

/* generated from xpulp/instructions.toml by tests/isa/xpulp.py */
#define me_mac(acc, a, b) __builtin_pulp_mac((a), (b), (acc))
#define me_msu(acc, a, b) __builtin_pulp_msu((a), (b), (acc))
#define me_min(a, b) __builtin_pulp_minsi((a), (b))
#define me_minu(a, b) __builtin_pulp_minusi((a), (b))
#define me_max(a, b) __builtin_pulp_maxsi((a), (b))
#define me_maxu(a, b) __builtin_pulp_maxusi((a), (b))
#define me_ff1(a) ((int32_t)__builtin_pulp_ff1(a))
#define me_fl1(a) ((int32_t)__builtin_pulp_fl1(a))
#define me_cnt(a) ((int32_t)__builtin_pulp_cnt(a))
#define me_addRN(a, b, n) __builtin_pulp_addRN((a), (b), (n), (1u << ((n)-1)))
#define me_mulsRN(a, b, n) __builtin_pulp_mulsRN((a), (b), (n), (1u << ((n)-1)))
#define me_macsRN(acc, a, b, n) __builtin_pulp_macsRN((a), (b), (acc), (n), (1u << ((n)-1)))
#define me_extract(a, size, at) __builtin_pulp_bextract((a), (size), (at))
#define me_extractu(a, size, at) ((uint32_t)__builtin_pulp_bextractu((a), (size), (at)))
ME_BUILTIN_2(me_add, add, me_bytes, me_halves)
ME_BUILTIN_2(me_sub, sub, me_bytes, me_halves)
ME_BUILTIN_2(me_min, min, me_bytes, me_halves)
ME_BUILTIN_2(me_minu, minu, me_bytesu, me_halvesu)
ME_BUILTIN_2(me_max, max, me_bytes, me_halves)
ME_BUILTIN_2(me_maxu, maxu, me_bytesu, me_halvesu)
ME_BUILTIN_1(me_abs, abs, me_bytes, me_halves)
ME_BUILTIN_DOT(up, b, 4, me_bytesu, me_bytesu)
ME_BUILTIN_DOT(up, h, 2, me_halvesu, me_halvesu)
ME_BUILTIN_DOT(usp, b, 4, me_bytesu, me_bytes)
ME_BUILTIN_DOT(usp, h, 2, me_halvesu, me_halves)
ME_BUILTIN_DOT(sp, b, 4, me_bytes, me_bytes)
ME_BUILTIN_DOT(sp, h, 2, me_halves, me_halves)
/* end of what is generated */

static inline uint32_t me_pack_h(int32_t low, int32_t high)
{
    return (uint32_t)__builtin_pulp_pack2((int16_t)low, (int16_t)high);
}

static inline uint32_t me_pack_b(int32_t b0, int32_t b1, int32_t b2, int32_t b3)
{
    return (uint32_t)__builtin_pulp_pack4((int8_t)b0, (int8_t)b1, (int8_t)b2, (int8_t)b3);
}

/* pv.sra is the shift operator of vector types */
static inline uint32_t me_sra_b(uint32_t a, uint32_t n) { return (uint32_t)((me_bytes)a >> (me_bytes)n); }
static inline uint32_t me_sra_h(uint32_t a, uint32_t n) { return (uint32_t)((me_halves)a >> (me_halves)n); }

/* ---- memory */

typedef uint32_t me_word_anywhere __attribute__((may_alias, aligned(1)));
typedef uint16_t me_half_anywhere __attribute__((may_alias, aligned(1)));

static inline uint32_t me_step_w(const int8_t **at, int32_t bytes)
{
    const me_word_anywhere *p = (const me_word_anywhere *)*at;
    *at += bytes;
    return *p;
}

static inline int32_t me_step_b(const int8_t **at, int32_t bytes)
{
    const int8_t *p = *at;
    *at += bytes;
    return *p;
}

static inline int32_t me_step_h(const int8_t **at, int32_t bytes)
{
    const me_half_anywhere *p = (const me_half_anywhere *)*at;
    *at += bytes;
    return (int16_t)*p;
}

static inline int32_t me_next_hu(const int8_t **at)
{
    const me_half_anywhere *p = (const me_half_anywhere *)*at;
    *at += 2;
    return *p;
}

static inline uint32_t me_next_w(const int8_t **at) { return me_step_w(at, 4); }
static inline int32_t me_next_b(const int8_t **at) { return *(*at)++; }
static inline int32_t me_next_bu(const int8_t **at) { return (uint8_t)*(*at)++; }
static inline int32_t me_next_h(const int8_t **at) { return (int16_t)me_next_hu(at); }

static inline int32_t me_at_b(const void *middle, int32_t at) { return ((const int8_t *)middle)[at]; }
static inline int32_t me_at_bu(const void *middle, int32_t at) { return ((const uint8_t *)middle)[at]; }

static inline void me_put_b(int8_t **at, int32_t x) { *(*at)++ = (int8_t)x; }

static inline void me_put_h(int8_t **at, int32_t x)
{
    *(me_half_anywhere *)*at = (uint16_t)x;
    *at += 2;
}

static inline void me_put_w(int8_t **at, uint32_t x)
{
    *(me_word_anywhere *)*at = x;
    *at += 4;
}

#endif
