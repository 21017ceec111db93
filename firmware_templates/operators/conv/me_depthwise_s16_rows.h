/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_depthwise_conv_s16.c. Implementations: me_depthwise_s16_rows.S for GAP9's cores,
 * me_depthwise_s16_rows.c in portable C.
 */
#ifndef ME_DEPTHWISE_S16_ROWS_H
#define ME_DEPTHWISE_S16_ROWS_H

#include <stdint.h>

#include "me_scale.h"

/* A row of n results in one or two channels; steps in bytes.
 * x         two channels of the first window's first tap, aligned to 4; both are readable even if only
 *           one is computed
 * tap_step  from a tap to the next in its row
 * row_step  from the end of a row of taps to the next row
 * x_step, y_step   between results
 * two       whether there is a second channel
 * me_depthwise_s16_rows.S knows the offsets. */
typedef struct {
    const int16_t *x, *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t n, k_h, k_w, tap_step, row_step, x_step, y_step, y_wide, two;
    me_scale scale;
} me_depthwise_row;

/* The table is not applied. */
void me_depthwise_sums_h(const me_depthwise_row *row);

/* Converts n >= 1 int8 or int16 (wide) values to int16. */
void me_copy_to_halves(const int8_t *x, int32_t n, int16_t *to, int32_t wide);

#endif
