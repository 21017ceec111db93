/* SPDX-License-Identifier: Apache-2.0
 * The operations of me_intrinsics_c.h for Cortex-M: those for which the DSP extension has an instruction by it, all
 * others in C.
 */
#ifndef ME_INTRINSICS_H
#define ME_INTRINSICS_H

#include <stdint.h>

#include "me_intrinsics_c.h"

/* Vectors (Helium) are used instead of the DSP extension where there are both. Functions in assembler access words at
 * any address, so without such accesses (-mno-unaligned-access) C runs in their place. */
#ifdef __ARM_FEATURE_MVE
#define ME_MVE
#elif defined __ARM_FEATURE_SIMD32 && defined __ARM_FEATURE_UNALIGNED
#define ME_DSP
#endif

/* A function in assembler, which finds its parameters in registers. */
#define ME_NAKED __attribute__((naked, noinline)) static
#define ME_ASM_READS(parameter) parameter __attribute__((unused))

#ifdef __ARM_FEATURE_SIMD32
#include <arm_acle.h>

static inline uint32_t me_arm_ror(uint32_t a, uint32_t n) { return a >> (n & 31) | a << (-n & 31); }

/* The bytes 0 and 2, and 1 and 3, of a word as halves. */
static inline uint32_t me_even_b(uint32_t word) { return (uint32_t)__sxtb16((int8x4_t)word); }
static inline uint32_t me_odd_b(uint32_t word) { return (uint32_t)__sxtb16((int8x4_t)me_arm_ror(word, 8)); }

/* Sums of products of halves, modulo 2**32. */
static inline int32_t me_arm_sdotsp_h(int32_t acc, uint32_t a, uint32_t b)
{
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
}

static inline int32_t me_arm_sdotsp_b(int32_t acc, uint32_t a, uint32_t b)
{
    acc = me_arm_sdotsp_h(acc, me_even_b(a), me_even_b(b));
    return me_arm_sdotsp_h(acc, me_odd_b(a), me_odd_b(b));
}

/* The compiler does not make one instruction of stores of bytes. */
static inline void me_arm_put_h(int8_t **at, int32_t x)
{
    const uint16_t half = (uint16_t)x;
    __builtin_memcpy(*at, &half, sizeof half);
    *at += sizeof half;
}

static inline void me_arm_put_w(int8_t **at, uint32_t x)
{
    __builtin_memcpy(*at, &x, sizeof x);
    *at += sizeof x;
}

#define me_put_h(at, x) me_arm_put_h(at, x)
#define me_put_w(at, x) me_arm_put_w(at, x)
#define me_ror(a, n) me_arm_ror((a), (n))
#define me_sdotsp_b(acc, a, b) me_arm_sdotsp_b(acc, a, b)
#define me_dotsp_b(a, b) me_arm_sdotsp_b(0, a, b)
#define me_sdotsp_h(acc, a, b) me_arm_sdotsp_h(acc, a, b)
#define me_dotsp_h(a, b) me_arm_sdotsp_h(0, a, b)
#define me_add_h(a, b) ((uint32_t)__sadd16((int16x2_t)(a), (int16x2_t)(b)))
#define me_sub_h(a, b) ((uint32_t)__ssub16((int16x2_t)(a), (int16x2_t)(b)))
#define me_add_b(a, b) ((uint32_t)__sadd8((int8x4_t)(a), (int8x4_t)(b)))
#define me_sub_b(a, b) ((uint32_t)__ssub8((int8x4_t)(a), (int8x4_t)(b)))
#endif

#endif
