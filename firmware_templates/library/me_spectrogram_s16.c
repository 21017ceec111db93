/* SPDX-License-Identifier: Apache-2.0 */
#include "me_spectrogram.h"

#include "me_fourier.h"
#include "me_share.h"

static int8_t stored(const me_spectrogram_s16_params *op, const me_channel *to, int32_t value)
{
    return me_clip((value * to->mult + to->offset) >> to->shift, op->low, op->high);
}

/* z: the transform of pairs of samples; y: length / 2 + 1 results. In the middle both are the same
 * frequency, of which the first way to compute it counts. */
static void spectrum(const me_spectrogram_s16_params *op, const int32_t *z, const me_channel *to, int8_t *y)
{
    const int32_t half = op->length / 2;
    for (int32_t k = 0; k <= half / 2; k++) {
        int32_t first, last;
        me_spectrum_pair(z, op->roots + 2 * k, half, k, op->curve, &first, &last);
        y[half - k] = stored(op, to, last);
        y[k] = stored(op, to, first);
    }
}

void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile)
{
    const int32_t lanes = op->lanes, length = op->length, all = tile->frames * lanes;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    int32_t *z = op->scratch + ME_CORE() * length;
    int32_t frame = first / lanes, lane = first - frame * lanes;
    for (int32_t i = first; i < last; i++) {
        me_fourier(tile->x + frame * op->hop * lanes + lane, lanes, op->window, op->order, op->roots, length, z);
        spectrum(op, z, op->channels + lane, tile->y + i * (length / 2 + 1));
        if (++lane == lanes) {
            lane = 0;
            frame++;
        }
    }
}
