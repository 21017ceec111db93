/* SPDX-License-Identifier: Apache-2.0
 * Requantisation from int32 sums to int8 (docs/developers/integer-semantics.md). Implementations:
 * me_sums_s8.S for GAP9's cores, me_sums_s8.c in portable C.
 */
#ifndef ME_SUMS_S8_H
#define ME_SUMS_S8_H

#include <stdint.h>

#include "me_scale.h"

/* Requantises one channel of n >= 1 pixels: y = clip((((sum + bias) >> pre) * mult + offset) >> shift),
 * then the table. Sums are sum_step words apart, results y_step bytes. sum + bias is modulo 2^32; the
 * product plus offset stays inside int32. */
void me_sums_s8(const int32_t *sum, int32_t n, int32_t sum_step, const me_channel *to, const me_scale *scale,
                int8_t *y, int32_t y_step);

/* As me_sums_s8 with int16 results and without a table; y_step counts bytes. */
void me_limited_sums_s16(const int32_t *sum, int32_t n, int32_t sum_step, const me_channel *to,
                         const me_scale *scale, void *y, int32_t y_step);

/* Joins the two sums of n >= 1 pixels, sum_step words apart: sum[0] = (sum[0] << bits) + sum[1], modulo
 * 2^32. */
void me_join_sums(int32_t *sum, int32_t n, int32_t sum_step, int32_t bits);

#endif
