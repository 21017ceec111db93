/* SPDX-License-Identifier: Apache-2.0 */
#include "me_spectrogram.h"

#include "me_fourier.h"
#include "me_share.h"

/* Multiplies a frame by the window. Pairs of samples, `lanes` apart, become complex values in
 * digit-reversed order. Returns the largest magnitude of each part. */
static uint32_t apply_window(const me_spectrogram_s16_params *op, const int16_t *x, me_complex *z)
{
    const int32_t step = 2 * op->lanes;
    const int8_t *from = (const int8_t *)x, *taps = (const int8_t *)op->window;
    const int8_t *places = (const int8_t *)op->places;
    const int8_t *const end = taps + 2 * op->length;
    uint32_t most = 0;
    while (taps < end) {
        const int32_t x0 = me_step_h(&from, step), x1 = me_step_h(&from, step), place = me_next_h(&places);
        const int32_t tap0 = me_next_h(&taps), tap1 = me_next_h(&taps);
        const me_complex value = me_pack_h(me_mulsRN(x0, tap0, 15), me_mulsRN(x1, tap1, 15));
        *(me_complex *)(void *)((int8_t *)z + place) = value;
        most = me_max_h(most, me_abs_h(value));
    }
    return most;
}

/* Requantises values of the curve: q = clip((value * mult + offset) >> shift, low, high). */
typedef struct {
    int32_t mult, offset, shift, low, high;
} results;

ME_FOURIER int32_t result_of(const results *to, int32_t value)
{
    return me_min(me_max((value * to->mult + to->offset) >> to->shift, to->low), to->high);
}

/* Computes half + 1 results y from z, the transform of pairs of samples, whose first element also follows
 * the last one. In the middle, both results of a pair are the same frequency; the left one is kept. */
ME_FOURIER void store_spectrum(const results *to, const me_complex *z, int32_t half,
                               const me_complex_root *root, const int16_t *origin, int8_t *y, int32_t wide)
{
    const results own = *to;
    const int8_t *turn = (const int8_t *)root;
    const me_complex *back = z + half;
    int8_t *last = y + (half << wide);
    while (y <= last) {
        int32_t left, right;
        const int32_t cosine = me_step_h(&turn, 4), sine = me_step_h(&turn, 4);
        me_spectrum_pair(*z++, *back--, cosine, sine, origin, &left, &right);
        right = result_of(&own, right);
        left = result_of(&own, left);
        if (wide) {
            *(int16_t *)(void *)last = (int16_t)right;
            me_put_h(&y, left);
            last -= 2;
        } else {
            *last-- = (int8_t)right;
            me_put_b(&y, left);
        }
    }
}

static __attribute__((noinline)) void spectrum_8(const results *to, const me_complex *z, int32_t half,
                                                 const me_complex_root *root, const int16_t *origin,
                                                 int8_t *y)
{
    store_spectrum(to, z, half, root, origin, y, 0);
}

static __attribute__((noinline)) void spectrum_16(const results *to, const me_complex *z, int32_t half,
                                                  const me_complex_root *root, const int16_t *origin,
                                                  int8_t *y)
{
    store_spectrum(to, z, half, root, origin, y, 1);
}

void me_spectrogram_s16(const me_spectrogram_s16_params *op, const me_spectrogram_s16_tile *tile)
{
    const int32_t lanes = op->lanes, length = op->length, half = length / 2, all = tile->frames * lanes;
    const int32_t first = ME_FIRST(all), last = ME_LAST(all);
    const me_complex_root *roots = (const me_complex_root *)(const void *)op->roots;
    const me_fourier_sizes *sizes = (const me_fourier_sizes *)(const void *)op->sizes;
    me_complex *const z = (me_complex *)(void *)(op->scratch + ME_CORE() * (half + 1));
    int32_t frame = first / lanes, lane = first - frame * lanes;
    for (int32_t i = first; i < last; i++) {
        const me_channel *const lane_to = op->channels + lane;
        const results to = { lane_to->mult, lane_to->offset, lane_to->shift, op->low, op->high };
        const int32_t at = i * (half + 1);
        const uint32_t most = apply_window(op, tile->x + frame * op->hop * lanes + lane, z);
        const int32_t exponent = me_fourier(z, sizes, op->stages, roots, most);
        z[half] = z[0];
        const int16_t *origin = op->curve + 32 * exponent;
        if (op->y_wide)
            spectrum_16(&to, z, half, roots, origin, (int8_t *)tile->y + 2 * at);
        else
            spectrum_8(&to, z, half, roots, origin, (int8_t *)tile->y + at);
        if (++lane == lanes) {
            lane = 0;
            frame++;
        }
    }
}
