/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels behind me_selective_scan_s8.c, all of one channel. Two bodies: me_selective_rows.S
 * for GAP9's cores, me_selective_rows.c in C.
 */
#ifndef ME_SELECTIVE_ROWS_H
#define ME_SELECTIVE_ROWS_H

#include <stdint.h>

/* ME_SCAN_STEPS   at most in a call; places of a block's reads */
enum { ME_SCAN_STEPS = 32, ME_SCAN_BLOCK = 8 };

/* What all states of a channel read in a step, and the sum of what is read of them: delta, moved up, and u, each in
 * both halves of a word. */
typedef struct {
    uint32_t delta, both;
    int32_t sum;
} me_channel_step;

/* Of eight states in a step: for either half two words of B, two of C. */
typedef struct {
    struct {
        uint32_t b[2], c[2];
    } of[2];
} me_block_step;

/* u = clip16((delta x term + half) >> term_shift), y = clip8(((sum >> pre) mult + x skip + offset) >> shift);
 * step: numbers from one of x, delta and y to the next; both: 0x10001 << delta_up */
typedef struct {
    int32_t step, delta_zero, x_zero, both, term, half, term_shift, pre, mult, skip, offset, shift;
} me_channel_run;

/* What the states read in steps >= 1, sums 0; x minus its zero point. */
void me_begin_channel(const me_channel_run *run, me_channel_step *own, const int8_t *delta, const int8_t *x,
                      int32_t steps);

/* Blocks >= 1 of eight states through steps >= 1; _limited_: products of delta and decay may be beyond the table of powers. */
typedef void me_move_work(const int16_t *powers, const uint16_t *decays, const me_block_step *reads,
                          me_channel_step *own, int16_t *states, int32_t steps, int32_t blocks);
me_move_work me_move_states, me_move_limited_states;

/* Results of steps >= 1, of 8 or 16 bits; offset has the zero point of x. */
void me_read_channel(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int8_t *y,
                     int32_t steps);
void me_read_channel_wide(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int16_t *y,
                          int32_t steps);

#endif
