/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_NE16_REST_H
#define ME_NE16_REST_H

#include "me_ne16_jobs.h"

/* Computes the units of a depthwise tile after those of the ranges, beside the engine, which computes those:
 * me_depthwise_conv_s8 with op.conv, whose integers are the engine's. */
void me_ne16_rest(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile);

#endif
