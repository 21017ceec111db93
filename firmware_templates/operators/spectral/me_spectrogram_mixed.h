/* SPDX-License-Identifier: Apache-2.0
 * Spectrograms of frames of any even length: transforms with a stage for each factor of half of it.
 * All of cores 0 .. 7 call the kernel and share the frames and lanes; there is no barrier at its end.
 */
#ifndef ME_SPECTROGRAM_MIXED_H
#define ME_SPECTROGRAM_MIXED_H

#include "me_spectrogram.h"

/* As of me_spectrogram_s16, but for
 * roots     of a whole turn: exp(-2 pi i k / length)
 * radixes   of the stages, whose product is length / 2
 * scratch   8 * length bytes a core */
typedef struct {
    int32_t lanes, length, hop, low, high, y_wide, stages;
    const int32_t *window, *roots;
    const int16_t *order, *radixes;
    const int16_t *curve;
    const me_channel *channels;
    int32_t *scratch;
} me_spectrogram_mixed_s16_params;

typedef me_spectrogram_s16_tile me_spectrogram_mixed_s16_tile;

/* me_spectrogram_s16 of an even length up to 1,024 half of which has no prime factor above 31; other ranges are
 * the same. No barrier is inside. */
void me_spectrogram_mixed_s16(const me_spectrogram_mixed_s16_params *op,
                              const me_spectrogram_mixed_s16_tile *tile);

#endif
