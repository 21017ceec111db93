/* SPDX-License-Identifier: Apache-2.0
 * Normalises rows of n values with a gain and an offset per value. Implementations: me_norm_rows.S for
 * GAP9's cores, me_norm_rows.c in portable C.
 */
#ifndef ME_NORM_ROWS_H
#define ME_NORM_ROWS_H

#include "me_math.h"

/* Gain and offset of a channel: y = (normalised * gain + offset) >> shift. */
typedef struct {
    int32_t gain, offset;
} me_gain;

/* Normalises a row of n values with one me_gain each (pairs): y = clip(((((x >> halvings) * slope + start)
 * >> line.shift) * gain + offset) >> shift); x and y at any address. */
void me_norm_row_b(const void *x, void *y, int32_t n, const void *pairs, const me_line *line, int32_t shift);
void me_norm_row_h(const void *x, void *y, int32_t n, const void *pairs, const me_line *line, int32_t shift,
                   int32_t halvings);

/* The same with int16 results. */
void me_norm_row_b_s16(const void *x, void *y, int32_t n, const void *pairs, const me_line *line,
                       int32_t shift);
void me_norm_row_h_s16(const void *x, void *y, int32_t n, const void *pairs, const me_line *line,
                       int32_t shift, int32_t halvings);

#endif
