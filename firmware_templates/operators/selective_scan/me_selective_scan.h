/* SPDX-License-Identifier: Apache-2.0
 * Selective scans of state-space models, operands in L1. Cores 0 .. 7 call the kernel together, and each
 * computes its share of the channels; there are two barriers per 32 steps of a batch, and none at the end.
 */
#ifndef ME_SELECTIVE_SCAN_H
#define ME_SELECTIVE_SCAN_H

#include <stdint.h>

/* Constants of a channel; see me_selective_scan_s8. */
typedef struct {
    int32_t term, mult, offset, shift, skip, delta_up;
} me_selective_channel;

/* y_wide        whether y is int16
 * n             steps
 * states        states per channel
 * b_shift       B is multiplied by 2**b_shift
 * limited       whether products of delta and decay may exceed the table of powers, whose last entry is
 *               then 0
 * keeps         me_selective_stream_s8: whether y is only the last states
 * powers        int16 [8192], powers of 1/2 in Q15
 * scratch       int32 [32][states, to multiples of 8], then 384 bytes per core, then int16
 *               [width][states, to multiples of 8] */
typedef struct {
    int32_t y_wide, n, states, delta_zero, x_zero, b_zero, c_zero, b_shift, term_shift, limited, pre, keeps;
    const int16_t *powers;
    int8_t *scratch;
} me_selective_scan_s8_params;

/* delta, x  int8, y int8 or int16 [batch][n][width]     b, c  int8 [batch][n][states]
 * decay        uint16 [width][states, to multiples of 8]
 * before       me_selective_stream_s8: states of the pass before, see me_selective_stream.h; y has the
 *              same layout if `keeps` */
typedef struct {
    const int8_t *delta, *x, *b, *c;
    const uint16_t *decay;
    const me_selective_channel *channels;
    void *y;
    int32_t batch, width;
    const int32_t *before;
} me_selective_scan_s8_tile;

typedef me_selective_scan_s8_params me_selective_stream_s8_params;
typedef me_selective_scan_s8_tile me_selective_stream_s8_tile;

/* h[t] = exp(delta A) h[t - 1] + delta x B, y[t] = sum of C h + D x, of int8 to int8, or int16 if
 * y_wide. delta, x, B and C are taken minus their zero points, delta is at least 0, and states s are
 * int16: s = clip16((a s + u (B << b_shift) + 2^14) >> 15), u = clip16((delta x term + half) >>
 * term_shift), a = powers[min((delta << delta_up) decay >> 12, 8191)], y = clip((((sum of C s) >> pre)
 * mult + x skip + offset) >> shift). n, states, width at least 1; term 0 to 16,384; term_shift 0 to 30;
 * b_shift 7; delta_up 0 to 8; pre 0 to 20; mult 0 to 32,767; shift 0 to 30; sums stay inside int32.
 * Scratch and decay aligned to 4. */
void me_selective_scan_s8(const me_selective_scan_s8_params *op, const me_selective_scan_s8_tile *tile);

/* As me_selective_scan_s8, starting from the states in `before`, with the same ranges. */
void me_selective_stream_s8(const me_selective_stream_s8_params *op, const me_selective_stream_s8_tile *tile);

#endif
