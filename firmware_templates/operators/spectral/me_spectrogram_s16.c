/* SPDX-License-Identifier: Apache-2.0 */
#include "me_spectrogram.h"

#include "me_fourier.h"
#include "me_share.h"

/* Multiplies a frame by the window. Pairs of samples, `lanes` apart, become complex values in
 * digit-reversed order. */
static void apply_window(const me_spectrogram_s16_params *op, const int16_t *x, me_complex *z)
{
    const int32_t lanes = op->lanes;
    const int32_t *const taps = op->window;
    const int16_t *order = op->order;
    for (const me_complex *const end = z + op->length / 2; z < end; z++) {
        const int32_t at = 2 * *order++;
        const int16_t *const pair = x + at * lanes;
        z->re = me_high(pair[0] * (1 << 16), taps[at]);
        z->im = me_high(pair[lanes] * (1 << 16), taps[at + 1]);
    }
}

/* Requantises values of the curve: q = clip((value * mult + offset) >> shift, low, high). */
typedef struct {
    int32_t mult, offset, shift, low, high;
} results;

ME_FOURIER void put(const results *to, void *y, int32_t at, int32_t value, int32_t wide)
{
    const int32_t q = me_min(me_max((value * to->mult + to->offset) >> to->shift, to->low), to->high);
    if (wide)
        ((int16_t *)y)[at] = (int16_t)q;
    else
        ((int8_t *)y)[at] = (int8_t)q;
}

/* Computes half + 1 results y from z, the transform of pairs of samples. In the middle, both results of a
 * pair are the same frequency; the left one is kept. */
ME_FOURIER void store_spectrum(const results *to, const me_complex *z, int32_t half, const int32_t *root,
                               const int16_t *curve, void *y, int32_t wide)
{
    const results own = *to;
    int32_t last = half;
    for (int32_t first = 0; first <= last; first++, last--, root += 2) {
        int32_t left, right;
        me_spectrum_pair(z[first], z[first ? last : 0], root, curve, &left, &right);
        put(&own, y, last, right, wide);
        put(&own, y, first, left, wide);
    }
}

static __attribute__((noinline)) void spectrum_8(const results *to, const me_complex *z, int32_t half,
                                                 const int32_t *root, const int16_t *curve, int8_t *y)
{
    store_spectrum(to, z, half, root, curve, y, 0);
}

static __attribute__((noinline)) void spectrum_16(const results *to, const me_complex *z, int32_t half,
                                                  const int32_t *root, const int16_t *curve, int16_t *y)
{
    store_spectrum(to, z, half, root, curve, y, 1);
}

void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile)
{
    const int32_t lanes = op->lanes, length = op->length, all = tile->frames * lanes;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    me_complex *const z = (me_complex *)(void *)(op->scratch + ME_CORE() * length);
    int32_t frame = first / lanes, lane = first - frame * lanes;
    for (int32_t i = first; i < last; i++) {
        const me_channel *const lane_to = op->channels + lane;
        const results to = { lane_to->mult, lane_to->offset, lane_to->shift, op->low, op->high };
        const int32_t half = length / 2, at = i * (half + 1);
        apply_window(op, tile->x + frame * op->hop * lanes + lane, z);
        me_fourier(z, half, op->radixes, op->stages, op->roots);
        if (op->y_wide)
            spectrum_16(&to, z, half, op->roots, op->curve, (int16_t *)tile->y + at);
        else
            spectrum_8(&to, z, half, op->roots, op->curve, (int8_t *)tile->y + at);
        if (++lane == lanes) {
            lane = 0;
            frame++;
        }
    }
}
