/* SPDX-License-Identifier: Apache-2.0
 * Softmax, log-softmax and argmax of rows in L1. Cores 0 .. 7 call together, each takes its share of
 * the rows, and no barrier is inside.
 */
#ifndef ME_SOFTMAX_H
#define ME_SOFTMAX_H

#include <stdint.h>

/* x int8 [outer][length][inner], a row being `length` numbers that are `inner` apart; fastest where
 * inner is 1. exp: 256 numbers in Q15, of the distance from the row's maximum. */
typedef struct {
    int32_t outer, length, inner;
    const uint16_t *exp;
} me_softmax;

/* -> y int8 of the same shape, (y + 128) / 256 the probability. y may be x. */
void me_softmax_run(const me_softmax *op, const int8_t *x, int8_t *y);

/* log: 256 numbers in Q12; q = clip((distance * mult + log_sum * log_mult + offset) >> shift) */
typedef struct {
    me_softmax rows;
    const int16_t *log;
    int32_t ln2, mult, log_mult, offset, shift, low, high;
} me_log_softmax;

void me_log_softmax_run(const me_log_softmax *op, const int8_t *x, int8_t *y);

/* -> y int32 [outer][inner]: of equal numbers the first. exp does not count. */
void me_argmax_run(const me_softmax *op, const int8_t *x, int32_t *y);

#endif
