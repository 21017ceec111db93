/* SPDX-License-Identifier: Apache-2.0
 * Selective scans of which delta, x, B or C have 16 bits, operands in L1. Products have 64 bits.
 */
#ifndef ME_SELECTIVE_SCAN_S16_H
#define ME_SELECTIVE_SCAN_S16_H

#include <stdint.h>

/* Of each channel: u * B >> 32 is added to its states, u = ((delta * x >> 32) << v_up) * term >> 32;
 * y = clip(((clip32(sum >> sum_drop) * sum_mult >> 32) + (x * skip >> 32) + half >> out_shift) + y_zero);
 * delta, x, B and C are moved up */
typedef struct {
    int32_t term, sum_drop, sum_mult, skip, out_shift;
} me_selective_wide_channel;

/* *_wide        whether delta, x, B, C and y are int16, else int8
 * n             steps
 * states        of a channel
 * *_up          numbers less their zero points are multiplied by 2**up
 * decay_up, most   halvings p = min(delta * decay >> 32, most) << decay_up, 21 bits behind the point
 * powers        2**-f in Q31, uint32, 1024 steps of f from 0 to 1, both ends
 * scratch       int32 [32][2][states, to multiples of 4], 768 bytes a core, int32 [width][states, alike] */
typedef struct {
    int32_t delta_wide, x_wide, b_wide, c_wide, y_wide, n, states, delta_zero, x_zero, b_zero, c_zero, y_zero;
    int32_t delta_up, x_up, v_up, b_up, c_up, decay_up, most;
    const int8_t *powers;
    int8_t *scratch;
} me_selective_scan_s16_params;

/* delta, x, y  [batch][n][width]     b, c  [batch][n][states]
 * decay        int32 [width][states, to multiples of 4] */
typedef struct {
    const void *delta, *x, *b, *c;
    const int32_t *decay;
    const me_selective_wide_channel *channels;
    void *y;
    int32_t batch, width;
} me_selective_scan_s16_tile;

void me_selective_scan_s16(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile);

#endif
