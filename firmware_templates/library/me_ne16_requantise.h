/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_NE16_REQUANTISE_H
#define ME_NE16_REQUANTISE_H

#include "me_ne16_jobs.h"

/* Finishes sums, int32 [results][halves * k] (ME_NE16_INT32): acc = bias[k] + sum, inside int32, though sums of the
 * unsigned x wrap; y = clip((((acc >> pre) * mult) + offset) >> shift) of int8 or int16, then the table, for int8 only;
 * pre 0 to 20, mult 0 to 32,767, shift 0 to 30. conv.channels: k channels, whose biases include minus (128 or 32,768,
 * the offset that makes x unsigned) times the sum of the weights, modulo 2^32. */
void me_ne16_requantise(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile,
                        const me_ne16_range *range);

#endif
