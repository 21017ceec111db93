/* SPDX-License-Identifier: Apache-2.0
 * Selective scans with int16 delta, x, B or C, operands in L1, and 64-bit products. Cores share the work
 * and wait as in me_selective_scan_s8.
 */
#ifndef ME_SELECTIVE_SCAN_S16_H
#define ME_SELECTIVE_SCAN_S16_H

#include <stdint.h>

/* Constants of a channel; see me_selective_scan_s16. */
typedef struct {
    int32_t term, sum_drop, sum_mult, skip, out_shift;
} me_selective_wide_channel;

/* *_wide        whether delta, x, B, C and y are int16, otherwise int8
 * n             steps
 * states        states per channel
 * *_up          values minus their zero points are multiplied by 2**up
 * decay_up, most   halvings p = min(delta * decay >> 32, most) << decay_up, with 21 fraction bits
 * keeps         me_selective_stream_s16: whether y is only the last states
 * powers        uint32 [1025], 2**-f in Q31 for f = 0, 1/1024 .. 1
 * scratch       int32 [32][2][states, to multiples of 4], then 768 bytes per core, then int32
 *               [width][states, to multiples of 4] */
typedef struct {
    int32_t delta_wide, x_wide, b_wide, c_wide, y_wide, n, states, delta_zero, x_zero, b_zero, c_zero, y_zero;
    int32_t delta_up, x_up, v_up, b_up, c_up, decay_up, most, keeps;
    const int8_t *powers;
    int8_t *scratch;
} me_selective_scan_s16_params;

/* delta, x, y  [batch][n][width]     b, c  [batch][n][states]
 * decay        int32 [width][states, to multiples of 4]
 * before       me_selective_stream_s16: states of the pass before, see me_selective_stream.h; y has the
 *              same layout if `keeps` */
typedef struct {
    const void *delta, *x, *b, *c;
    const int32_t *decay;
    const me_selective_wide_channel *channels;
    void *y;
    int32_t batch, width;
    const int32_t *before;
} me_selective_scan_s16_tile;

typedef me_selective_scan_s16_params me_selective_stream_s16_params;
typedef me_selective_scan_s16_tile me_selective_stream_s16_tile;

/* As me_selective_scan_s8 for int8 or int16 to int8 or int16, as *_wide specify, with 31-bit states: u
 * * B >> 32 is added to the decayed states, u = ((delta * x >> 32) << v_up) * term >> 32, with delta,
 * x, B and C shifted left by *_up; y = clip(((clip32(sum of C s >> sum_drop) * sum_mult >> 32) + (x *
 * skip >> 32) + half >> out_shift) + y_zero). n, states, width at least 1; shifted values fit int32;
 * decay_up 0 to 8; sum_drop 0 to 45; out_shift 0 to 8; |sum_mult|, |skip| below 2^31 - 256. */
void me_selective_scan_s16(const me_selective_scan_s16_params *op, const me_selective_scan_s16_tile *tile);

/* As me_selective_scan_s16, starting from the states in `before`, with the same ranges. */
void me_selective_stream_s16(const me_selective_stream_s16_params *op,
                             const me_selective_stream_s16_tile *tile);

#endif
