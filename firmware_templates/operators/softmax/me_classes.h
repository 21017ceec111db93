/* SPDX-License-Identifier: Apache-2.0
 * Class indices over time: greedy CTC decoding and majority votes. Cores 0 .. 7 call a kernel together, and
 * each computes its share; only greedy CTC has a barrier inside.
 */
#ifndef ME_CLASSES_H
#define ME_CLASSES_H

#include <stdint.h>

#define ME_NO_CLASS (-1)

/* steps, classes   1 or more     blank   0 .. classes - 1 */
typedef struct {
    int32_t steps, classes, blank;
} me_ctc_greedy_params;

/* x int8 or int16 [steps][batch][classes], y int32 [batch][1 + steps], apart from x */
typedef struct {
    const void *x;
    int32_t *y;
    int32_t batch;
} me_ctc_greedy_tile;

typedef me_ctc_greedy_params me_ctc_greedy_s8_params, me_ctc_greedy_s16_params;
typedef me_ctc_greedy_tile me_ctc_greedy_s8_tile, me_ctc_greedy_s16_tile;

/* Greedy CTC decoding. For each sequence of the batch: the number of symbols, the symbols, then
 * ME_NO_CLASS to the end. Symbols are the best class of each frame (the first one of equal scores) without
 * repetitions and blanks. x is int8 for me_ctc_greedy_s8 and int16 for me_ctc_greedy_s16; steps, classes
 * at least 1; a barrier is inside. */
void me_ctc_greedy_s8(const me_ctc_greedy_s8_params *op, const me_ctc_greedy_s8_tile *tile);
void me_ctc_greedy_s16(const me_ctc_greedy_s16_params *op, const me_ctc_greedy_s16_tile *tile);

#endif
