/* SPDX-License-Identifier: Apache-2.0
 * Spectrograms of operands in L1: a function of the power of short-time Fourier transforms. Cores 0 .. 7
 * call the kernel and share the frames and lanes; there is no barrier at the end.
 */
#ifndef ME_SPECTROGRAM_H
#define ME_SPECTROGRAM_H

#include <stdint.h>

#include "me_math.h"
#include "me_scale.h"

/* lanes     number of interleaved signals      length, hop   samples per frame, and between the starts
 *           of frames
 * channels  [lanes]: multiplier, offset and shift from the curve to results
 * y_wide    results are int16, otherwise int8     low, high   limits of results
 * window    [length] in Q15, -32,704 to 32,704
 * roots     [length][2]: w = exp(-2 pi i k / length) in Q15 as words of two halves, (real, -imaginary) and
 *           (imaginary, real), the first one in the lower half
 * sizes     [stages][4]: radix, distance between a transform's elements, between the radix's roots, and
 *           groups; the product of the radixes is length / 2
 * places    [length / 2]: byte offset of each pair of samples in digit-reversed order
 * curve     function of the power, 16 points per octave from 1/2 on, but power 0 first
 * scratch   2 * length + 4 bytes per core, aligned to 4 */
typedef struct {
    int32_t lanes, length, hop, low, high, y_wide, stages;
    const int16_t *window, *places, *sizes, *curve;
    const int32_t *roots;
    const me_channel *channels;
    int32_t *scratch;
} me_spectrogram_s16_params;

/* x  int16 [samples][lanes]     y  [frames][lanes][length / 2 + 1] */
typedef struct {
    const int16_t *x;
    void *y;
    int32_t frames;
} me_spectrogram_s16_tile;

/* Spectrogram of int16 samples: v is the curve at the power of each frequency, int8 or int16
 * y = clip((v * mult + offset) >> shift). length even, 4 to 1,024, half of it
 * without a prime factor above 31; lanes, hop at least 1; mult -32,767 to
 * 32,767; shift 0 to 30; the sum stays inside int32. No barrier is inside. */
void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile);

#endif
