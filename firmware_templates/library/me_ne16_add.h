/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_NE16_ADD_H
#define ME_NE16_ADD_H

#include "me_ne16_jobs.h"

/* Finishes results, which are contiguous in conv.y: y = me_add_s16 of them and b. b, y: int8 or int16 as `add`
 * specifies, in the shape of the results; y may be conv.y if it is int8. */
void me_ne16_add(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile, const me_ne16_range *range);

#endif
