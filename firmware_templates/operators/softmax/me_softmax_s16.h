/* SPDX-License-Identifier: Apache-2.0
 * Softmax and log-softmax of rows in L1, of numbers of 8 or 16 bits. Cores 0 .. 7 call together, each
 * takes its part of the rows, and no barrier is inside.
 */
#ifndef ME_SOFTMAX_S16_H
#define ME_SOFTMAX_S16_H

#include <stdint.h>

/* Exponentials of distances d from a row's maximum: near[d & 255] * far[d >> 8], 256 numbers in Q15 each. */
typedef struct {
    const uint16_t *near, *far;
} me_exponentials;

/* length           1 to 32,768
 * x_wide, y_wide   x, y are int16, else int8
 * flat             whether a row that is hidden whole has equal shares, not those of x
 * zero             y of a share of 0     low, high   limits of y */
typedef struct {
    int32_t length, x_wide, y_wide, flat, zero, mult, shift, low, high;
    me_exponentials exp;
} me_softmax_s16_params;

/* x, y   [repeats][rows][length][inner]
 * mask   int8 [rows][length][inner]: x is hidden where it is below 0; or 0: all are seen */
typedef struct {
    const void *x;
    const int8_t *mask;
    void *y;
    int32_t repeats, rows, inner;
} me_softmax_s16_tile;

/* Softmax of what is seen, int8 or int16 to int8 or int16, as x_wide and y_wide say; shares are 0 elsewhere:
 * y = clip(((share * mult + half) >> s) + zero), s = min(shift + h, 31), half = 1 << s >> 1, share / 2**(16 + h) the
 * probability, h the halvings that bring the sum of exponentials below 2^16. mult 0 to 32,767; shift 0 to 31. */
void me_softmax_s16(const me_softmax_s16_params *op, const me_softmax_s16_tile *tile);

/* log: 256 numbers in Q12; ln2 in Q12 */
typedef struct {
    int32_t length, x_wide, y_wide;
    me_exponentials exp;
    const int16_t *log;
    int32_t ln2, mult, log_mult, offset, shift, low, high;
} me_log_softmax_s16_params;

/* x, y  [outer][length][inner] */
typedef struct {
    const void *x;
    void *y;
    int32_t outer, inner;
} me_log_softmax_s16_tile;

/* Logarithm of softmax, int8 or int16 to int8 or int16, as x_wide and y_wide say:
 * y = clip((distance * mult + log(sum) * log_mult + offset) >> shift), distance from the row's maximum.
 * mult, log_mult int32, at most 0, as large as leaves the sum inside int32; shift 0 to 30; length 1 to 32,768. */
void me_log_softmax_s16(const me_log_softmax_s16_params *op, const me_log_softmax_s16_tile *tile);

#endif
