/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_selective_scan_s8.c, for one channel. Implementations: me_selective_rows.S for
 * GAP9's cores, me_selective_rows.c in portable C.
 */
#ifndef ME_SELECTIVE_ROWS_H
#define ME_SELECTIVE_ROWS_H

#include <stdint.h>

/* ME_SCAN_STEPS  maximum steps per call, and distance between blocks in the array of reads
 * ME_SCAN_BLOCK  states per block */
enum { ME_SCAN_STEPS = 32, ME_SCAN_BLOCK = 8 };

/* Inputs that all states of a channel share in a step, and the step's sum: shifted delta, u in both halves
 * of a word, and the sum of C times the states. */
typedef struct {
    uint32_t delta, both;
    int32_t sum;
} me_channel_step;

/* B and C of eight states in a step: for each half of the block, two words of B and two of C. */
typedef struct {
    struct {
        uint32_t b[2], c[2];
    } of[2];
} me_block_step;

/* u = clip16((delta x term + half) >> term_shift), y = clip8(((sum >> pre) mult + x skip + offset) >> shift);
 * step: distance between consecutive elements of x, delta and y; both: 0x10001 << delta_up */
typedef struct {
    int32_t step, delta_zero, x_zero, both, term, half, term_shift, pre, mult, skip, offset, shift;
} me_channel_run;

/* Computes the shared inputs of steps >= 1 and sets their sums to 0; x minus its zero point. */
void me_begin_channel(const me_channel_run *run, me_channel_step *own, const int8_t *delta, const int8_t *x,
                      int32_t steps);

/* Updates blocks >= 1 of eight states through steps >= 1. _limited_: products of delta and decay may
 * exceed the table of powers. */
typedef void me_move_work(const int16_t *powers, const uint16_t *decays, const me_block_step *reads,
                          me_channel_step *own, int16_t *states, int32_t steps, int32_t blocks);
me_move_work me_move_states, me_move_limited_states;

/* Computes the results of steps >= 1 in int8 or int16; offset includes the zero point of x. */
void me_read_channel(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int8_t *y,
                     int32_t steps);
void me_read_channel_wide(const me_channel_run *run, const me_channel_step *own, const int8_t *x, int16_t *y,
                          int32_t steps);

#endif
