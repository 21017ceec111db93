/* SPDX-License-Identifier: Apache-2.0 */
#include "me_spectrogram.h"

#include "me_fourier.h"
#include "me_share.h"

/* z: the transform of pairs of samples; results from number `at` on, length / 2 + 1 of them. In the
 * middle both are the same frequency, of which the first way to compute it counts. */
static void spectrum(const me_spectrogram_s16_params *op, const int32_t *z, const me_channel *to,
                     const me_spectrogram_s16_tile *tile, int32_t at)
{
    const int32_t half = op->length / 2;
    for (int32_t k = 0; k <= half / 2; k++) {
        int32_t first, last;
        me_spectrum_pair(z, op->roots + 2 * k, half, k, op->curve, &first, &last);
        me_spectrogram_put(tile, at + half - k, op->y_wide, to, last, op->low, op->high);
        me_spectrogram_put(tile, at + k, op->y_wide, to, first, op->low, op->high);
    }
}

void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile)
{
    const int32_t lanes = op->lanes, length = op->length, all = tile->frames * lanes;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    int32_t *z = op->scratch + ME_CORE() * length;
    int32_t frame = first / lanes, lane = first - frame * lanes;
    for (int32_t i = first; i < last; i++) {
        me_fourier(tile->x + frame * op->hop * lanes + lane, lanes, op->window, op->order, op->roots, length,
                   z);
        spectrum(op, z, op->channels + lane, tile, i * (length / 2 + 1));
        if (++lane == lanes) {
            lane = 0;
            frame++;
        }
    }
}
