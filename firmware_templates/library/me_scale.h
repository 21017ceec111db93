/* SPDX-License-Identifier: Apache-2.0
 * Requantisation from int32 sums to int8 (docs/developers/integer-semantics.md), for kernels of the
 * library:
 *   q = clip((((acc >> pre) * mult) + offset) >> shift), then the table if there is one.
 */
#ifndef ME_SCALE_H
#define ME_SCALE_H

#include <stdint.h>

/* Constants of an output channel, packed with the weights. mult 0 to 32,767 (signed for affine operators),
 * shift 0 to 30. offset includes the zero point and the rounding constant (1 << shift) / 2, so that
 * results are rounded to nearest, halves up. The product plus offset fits int32. */
typedef struct {
    int32_t bias, mult, offset, shift;
} me_channel;

/* Constants of the whole operator. pre: right shift of the accumulator before the product, 0 to 20. low <=
 * high: limits of y. table: 256 entries in L1, the first for -128; or 0. */
typedef struct {
    int32_t pre, low, high;
    const int8_t *table;
} me_scale;

#endif
