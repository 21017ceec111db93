/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_NE16_MEAN_H
#define ME_NE16_MEAN_H

#include "me_ne16_jobs.h"

/* Finishes rows of results, int8 [oh][ow][k] in conv.y: y[oh][k] = mean over ow, as clip((((acc >> pre) * mult) +
 * offset) >> shift), then the table of the mean. */
void me_ne16_mean(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range);

#endif
