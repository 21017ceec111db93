/* SPDX-License-Identifier: Apache-2.0
 * Softmax and log-softmax of rows in L1. Cores 0 .. 7 call together, each takes its part of
 * the rows, and no barrier is inside.
 */
#ifndef ME_SOFTMAX_H
#define ME_SOFTMAX_H

#include <stdint.h>

/* x int8 [outer][length][inner], a row being `length` numbers that are `inner` apart; fastest where
 * inner is 1. y: of the kernel's type and shape. */
typedef struct {
    const int8_t *x;
    void *y;
    int32_t outer, inner;
} me_softmax_s8_tile;

typedef me_softmax_s8_tile me_log_softmax_s8_tile;

/* length  1 to 32,768, of all kernels of this file
 * exp     256 numbers in Q15, by the distance from the row's maximum */
typedef struct {
    int32_t length;
    const uint16_t *exp;
} me_softmax_s8_params;

/* Softmax of int8: y int8 of the shape of x, (y + 128) / 256 the probability, at most 255 / 256, rounded to
 * nearest. exp[0] is 32,768, no entry is larger. outer >= 0, inner >= 1. y may be x. */
void me_softmax_s8(const me_softmax_s8_params *op, const me_softmax_s8_tile *tile);

/* mask  int8 [rows][length][inner], `repeats` times over: x is hidden where it is below 0 */
typedef struct {
    const int8_t *x, *mask;
    int8_t *y;
    int32_t repeats, rows, inner;
} me_masked_softmax_s8_tile;

/* flat  whether a row that is hidden whole has equal shares, not those of x */
typedef struct {
    int32_t length;
    const uint16_t *exp;
    int32_t flat;
} me_masked_softmax_s8_params;

/* me_softmax_s8 of what is seen, with the same ranges; y is -128, a share of 0, elsewhere. */
void me_masked_softmax_s8(const me_masked_softmax_s8_params *op, const me_masked_softmax_s8_tile *tile);

/* log: 256 numbers in Q12; ln2 in Q12 */
typedef struct {
    int32_t length;
    const uint16_t *exp;
    const int16_t *log;
    int32_t ln2, mult, log_mult, offset, shift, low, high;
} me_log_softmax_s8_params;

/* Logarithm of softmax of int8: y int8 of the shape of x,
 * y = clip((distance * mult + log(sum) * log_mult + offset) >> shift), distance 0 to 255 from the row's maximum.
 * mult, log_mult -32,767 to 0; shift 0 to 30; the sum stays inside int32. y may be x. */
void me_log_softmax_s8(const me_log_softmax_s8_params *op, const me_log_softmax_s8_tile *tile);

/* Exponentials of distances d from a row's maximum: near[d & 255] * far[d >> 8], 256 numbers in Q15 each. */
typedef struct {
    const uint16_t *near, *far;
} me_exponentials;

/* length           1 to 32,768
 * x_wide, y_wide   x, y are int16, otherwise int8
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
