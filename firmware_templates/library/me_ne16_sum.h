/* SPDX-License-Identifier: Apache-2.0
 * Sum of the results of a layer on NE16 and another tensor: cores 0 .. 7 add a job's results while the engine
 * computes the next job.
 */
#ifndef ME_NE16_SUM_H
#define ME_NE16_SUM_H

#include "me_elementwise.h"
#include "me_ne16_layer.h"

/* Makes a layer whose results are contiguous in layer->y also compute y = me_add_s16(a = its int8 results,
 * b). b, y: int8 or int16 as `add` specifies, in the shape of the results; y may be layer->y if it is
 * int8. */
void me_ne16_add_another(me_ne16_layer *layer, const me_add_s16_params *add, const int8_t *b, int8_t *y);

#endif
