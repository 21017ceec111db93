/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_NE16_INT16_H
#define ME_NE16_INT16_H

#include "me_ne16_jobs.h"

/* Finishes sums of rows (ME_NE16_INT32): int16 y[rows][k] = clip16((((acc >> pre) * mult) + offset) >> shift), where acc
 * = sum + bias. conv.channels: k channels, whose biases include minus 128 times the sum of the weights. pre:
 * conv.scale.pre, 0 to 20 */
void me_ne16_int16(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range);

#endif
