/* SPDX-License-Identifier: Apache-2.0
 * Layer norm and RMS norm of rows in L1. Cores 0 .. 7 call together, each takes its share of the
 * rows, and no barrier is inside. No scratch; y may be x where both have the same type.
 */
#ifndef ME_NORM_H
#define ME_NORM_H

#include <stdint.h>

/* What belongs to a channel: y = (normalised * gain + offset) >> shift. */
typedef struct {
    int32_t gain, offset;
} me_gain;

/* length   of a row, up to 1023        centred  minus the mean: layer norm; otherwise minus x_zero
 * bits     of a normalised number      x_wide   x is int16, otherwise int8
 * nine_cores   core 8 calls it as well
 * eps      in squares of x times the square of the length, shifted right by down twice:
 *          eps_high << 31 | eps_low; int16 values are shifted right by `down` at least */
typedef struct {
    int32_t length, bits, centred, x_wide, x_zero, shift, eps_low, eps_high;
    const me_gain *pairs;
    int32_t nine_cores, down;
} me_norm_params;

/* x, y   [rows][length], aligned to 4     rows   0 or more */
typedef struct {
    const void *x;
    void *y;
    int32_t rows;
} me_norm_tile;

typedef me_norm_params me_norm_to_s8_params, me_norm_to_s16_params;
typedef me_norm_tile me_norm_to_s8_tile, me_norm_to_s16_tile;

/* Layer norm or RMS norm of int8 or int16 rows (x_wide), to int8 by me_norm_to_s8 and to int16 by me_norm_to_s16: of
 * each row normalised = (x - mean, or x_zero) / sqrt(variance, or mean square, + eps) with `bits` bits after the point,
 * rounded to nearest, y = clip((normalised * gain[c] + offset[c]) >> shift).
 * length 1 to 1,023; bits 10 to 15; gain -32,767 to 32,767; shift 0 to 30; eps at most 2^61; down at least 0; the
 * sum stays inside int32. */
void me_norm_to_s8(const me_norm_to_s8_params *op, const me_norm_to_s8_tile *tile);
void me_norm_to_s16(const me_norm_to_s16_params *op, const me_norm_to_s16_tile *tile);

#endif
