/* SPDX-License-Identifier: Apache-2.0
 * From sums to int8, as docs/integer-semantics.md has it, for kernels of the library:
 *   q = clip((((acc >> pre) * mult) + offset) >> shift), then the table if there is one.
 */
#ifndef ME_SCALE_H
#define ME_SCALE_H

#include <stdint.h>

/* What belongs to one output channel; lies packed beside the weights. mult 0 to 32,767 (of an affine operator
 * it has a sign), shift 0 to 30. offset has the zero point and half of 1 << shift, so that results are rounded
 * to nearest, halves up; it is small enough that product and sum stay inside int32. */
typedef struct {
    int32_t bias, mult, offset, shift;
} me_channel;

/* What belongs to the whole operator. pre: 0 to 20. low <= high: limits of y. table: 256 entries, the first for
 * -128, in L1; or 0. */
typedef struct {
    int32_t pre, low, high;
    const int8_t *table;
} me_scale;

#endif
