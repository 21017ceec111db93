/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_copy_s8.c. They read and write only the described bytes; counts are at least 1.
 * Implementations: me_layout_rows.S for GAP9's cores, me_layout_rows.c in portable C.
 */
#ifndef ME_LAYOUT_ROWS_H
#define ME_LAYOUT_ROWS_H

#include "me_layout.h"

void me_copy_words(const int8_t *from, int8_t *to, int32_t words);
void me_fill_words(int8_t *to, uint32_t word, int32_t words);

/* copies n single bytes with strides */
void me_copy_bytes(const int8_t *from, int8_t *to, int32_t n, int32_t from_step, int32_t to_step);

/* Copies `runs` runs of `rows` rows of `bytes` bytes each. Rows start row_step bytes apart, runs run_step
 * bytes apart; `to` is contiguous. me_layout_rows.S knows these offsets. */
typedef struct {
    const int8_t *from;
    int8_t *to;
    int32_t bytes, rows, runs, row_step, run_step;
} me_row_runs;

void me_copy_runs(const me_row_runs *part);

/* Transposes `rows` rows of 4 * words bytes, from_row bytes apart: to[i * to_step + row] = from[row][i]. */
void me_scatter_words(const int8_t *from, int8_t *to, int32_t words, int32_t rows, int32_t from_row,
                      int32_t to_step);

/* Transposes 4 * fours columns and 4 * blocks rows of `from`: to[i * to_step + j] = from[j * from_step +
 * i]. */
void me_turn_columns(const int8_t *from, int8_t *to, int32_t fours, int32_t blocks, int32_t from_step,
                     int32_t to_step);

#endif
