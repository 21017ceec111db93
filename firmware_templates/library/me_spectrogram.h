/* SPDX-License-Identifier: Apache-2.0
 * Spectrograms on operands in L1: a curve over the power of short-time Fourier transforms. All of
 * cores 0 .. 7 call the kernel and share the frames and lanes; there is no barrier at its end.
 */
#ifndef ME_SPECTROGRAM_H
#define ME_SPECTROGRAM_H

#include <stdint.h>

#include "me_scale.h"

/* lanes     signals side by side      length, hop   samples of a frame, and between frames
 * channels  of every lane the factor, offset and shift from the curve to results
 * scratch   4 * length bytes a core */
typedef struct {
    int32_t lanes, length, hop, low, high;
    const int32_t *window, *roots;
    const int16_t *order;
    const int16_t *curve;
    const me_channel *channels;
    int32_t *scratch;
} me_spectrogram_s16_params;

/* x  int16 [samples][lanes]     y  [frames][lanes][length / 2 + 1] */
typedef struct {
    const int16_t *x;
    int8_t *y;
    int32_t frames;
} me_spectrogram_s16_tile;

/* Spectrogram of int16 samples: the curve of the power of each frequency, requantised to int8. */
void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile);

#endif
