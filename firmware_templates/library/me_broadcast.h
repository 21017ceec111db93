/* SPDX-License-Identifier: Apache-2.0
 * Divides the elements of a result among the cores and iterates over two operands with broadcasting.
 */
#ifndef ME_BROADCAST_H
#define ME_BROADCAST_H

#include <stdbool.h>

#include "me_elementwise.h"
#include "me_share.h"

/* The share of a result's elements that this core computes: whole words, except for the last core. */
typedef struct {
    int32_t first, last;
} me_part;

static inline me_part me_part_of(int32_t n)
{
    const int32_t words = (n + 3) / 4, last = 4 * ME_LAST(words);
    return (me_part){ 4 * ME_FIRST(words), last < n ? last : n };
}

/* n >= 1 elements; a_step and b_step 0 or 1 */
typedef void me_row_kernel(const void *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                           int32_t a_step, int32_t b_step);

/* Three nested loops over words of the result (from the inside: words, turns, runs). Strides in bytes:
 * after each word a += a_word; after `words` words additionally a += a_turn; after `turns` iterations of
 * that loop a += a_run; likewise b. y is written contiguously, and skips y_run bytes after each run.
 * single   each word of a is one byte, repeated four times
 * order    shuffle indices, with runs 1: byte j of word i is a[order[4 * i + j]], and a_word and `single`
 *          are not used; 0: none
 * swapped  a holds the operator's second operand and b its first */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t words, turns, runs, a_word, b_word, a_turn, b_turn, a_run, b_run, y_run;
    const int8_t *order;
    int32_t single, swapped;
} me_word_loops;

/* words, turns, runs >= 1 */
typedef void me_word_loops_kernel(const void *op, const me_word_loops *block);

/* -> byte j of word i in an iteration whose first byte of a is at `a` */
static inline int8_t me_byte_of_a(const me_word_loops *block, const int8_t *a, int32_t i, int32_t j)
{
    return block->order ? a[block->order[4 * i + j]] : a[i * block->a_word + (block->single ? 0 : j)];
}

/* Runs `row`, then the lookup table (0: none), on this core's share of the elements. Cores share elements,
 * so that the work is balanced for any shape. They share whole rows instead if there are many short rows
 * or rows of whole words; `block` then computes them unless it is 0. */
void me_each_row(const me_binary_s8_tile *tile, me_row_kernel *row, me_word_loops_kernel *block,
                 const void *op, const int8_t *table);

/* -> the row x; with step 0, x's only element repeated four times in `word` */
static inline const int8_t *me_word_or_row(const int8_t *x, int32_t step, int8_t word[4])
{
    for (int32_t i = 0; step == 0 && i < 4; i++)
        word[i] = *x;
    return step == 0 ? word : x;
}

#endif
