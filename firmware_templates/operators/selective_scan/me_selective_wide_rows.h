/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel of me_selective_scan_s16.c. Implementations: me_selective_wide_rows.S for GAP9's cores,
 * me_selective_wide_rows.c in portable C.
 */
#ifndef ME_SELECTIVE_WIDE_ROWS_H
#define ME_SELECTIVE_WIDE_ROWS_H

#include <stdint.h>

/* ME_WIDE_STEPS  maximum steps per call, and distance between blocks in the array of reads
 * ME_WIDE_BLOCK  states per block */
enum { ME_WIDE_STEPS = 32, ME_WIDE_BLOCK = 4 };

/* Inputs that all states of a channel share in a step, and the step's 64-bit sum of C times the states; x
 * is used for the result. */
typedef struct {
    int32_t delta, u, rounding;
    uint32_t low;
    int32_t high, x;
} me_wide_step;

/* B and C of four states in a step. */
typedef struct {
    int32_t b[4], c[4];
} me_wide_reads;

/* powers, decay_up, most as me_selective_scan_s16_params has them. me_selective_wide_rows.S knows these offsets. */
typedef struct {
    const uint32_t *powers;
    int32_t most, decay_up;
} me_wide_decays;

/* Updates blocks >= 1 of four states of a channel through steps >= 1. */
void me_move_wide_states(const me_wide_decays *by, const int32_t *decays, const me_wide_reads *reads,
                         me_wide_step *own, int32_t *states, int32_t steps, int32_t blocks);

#endif
