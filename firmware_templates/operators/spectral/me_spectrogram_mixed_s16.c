/* SPDX-License-Identifier: Apache-2.0 */
#include "me_spectrogram_mixed.h"

#include "me_fourier.h"
#include "me_share.h"

/* Number p of a transform of `radix` parts, `part` numbers apart: products with roots that are `turn`
 * of `turns` apart, halved so often that they do not leave 32 bits. */
static inline void mixed_sum(const int32_t *z, int32_t *y, int32_t radix, int32_t part, int32_t drop,
                             const int32_t *roots, int32_t turn, int32_t turns)
{
    int32_t re = 0, im = 0, at = 0;
    for (int32_t j = 0; j < radix; j++) {
        const int32_t a = z[0] >> drop, b = z[1] >> drop, cos = roots[2 * at], sin = roots[2 * at + 1];
        re += me_high(a, cos) - me_high(b, sin);
        im += me_high(a, sin) + me_high(b, cos);
        z += 2 * part;
        at += turn;
        at -= at >= turns ? turns : 0;
    }
    y[0] = re;
    y[1] = im;
}

/* Groups of `radix` transforms of `part` numbers become one. */
static void mixed_stage(const int32_t *z, int32_t *y, int32_t length, int32_t radix, int32_t part,
                        const int32_t *roots)
{
    const int32_t size = radix * part, step = length / size;
    int32_t drop = 0;
    while ((2 << drop) < radix)
        drop++;
    for (int32_t at = 0; at < length / 2; at += size)
        for (int32_t first = 0; first < size; first += part)
            for (int32_t k = 0; k < part; k++)
                mixed_sum(z + 2 * (at + k), y + 2 * (at + first + k), radix, part, drop, roots,
                          (first + k) * step, length);
}

/* length samples of x, a stride apart, times the window -> the transform of pairs of samples as complex
 * numbers, in one half of the scratch */
static const int32_t *mixed_fourier(const me_spectrogram_mixed_s16_params *op, const int16_t *x, int32_t *z)
{
    int32_t *y = z + op->length, part = 1;
    for (int32_t i = 0; i < op->length / 2; i++) {
        const int32_t at = 2 * op->order[i];
        z[2 * i] = me_high(x[at * op->lanes] * (1 << 16), op->window[at]);
        z[2 * i + 1] = me_high(x[(at + 1) * op->lanes] * (1 << 16), op->window[at + 1]);
    }
    for (int32_t i = 0; i < op->stages; i++) {
        int32_t *const from = z;
        mixed_stage(from, y, op->length, op->radixes[i], part, op->roots);
        part *= op->radixes[i];
        z = y;
        y = from;
    }
    return z;
}

void me_spectrogram_mixed_s16(const me_spectrogram_mixed_s16_params *op,
                              const me_spectrogram_mixed_s16_tile *tile)
{
    const int32_t lanes = op->lanes, half = op->length / 2, all = tile->frames * lanes;
    const int32_t begin = ME_FIRST(all), end = ME_LAST(all);
    for (int32_t i = begin; i < end; i++) {
        const int32_t frame = i / lanes, lane = i - frame * lanes;
        const int32_t *const z = mixed_fourier(op, tile->x + frame * op->hop * lanes + lane,
                                               op->scratch + ME_CORE() * 2 * op->length);
        const int32_t at = i * (half + 1);
        for (int32_t k = 0; k <= half / 2; k++) {
            int32_t first, last;
            me_spectrum_pair(z, op->roots + 2 * k, half, k, op->curve, &first, &last);
            me_spectrogram_put(tile, at + half - k, op->y_wide, op->channels + lane, last, op->low, op->high);
            me_spectrogram_put(tile, at + k, op->y_wide, op->channels + lane, first, op->low, op->high);
        }
    }
}
