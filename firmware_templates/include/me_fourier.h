/* SPDX-License-Identifier: Apache-2.0
 * Short-time Fourier transforms of 16-bit samples in 32 bits, as docs/integer-semantics.md has it.
 * Every stage halves, so that nothing leaves sqrt(2) * 2**30.
 */
#ifndef ME_FOURIER_H
#define ME_FOURIER_H

#include "me_math.h"

/* the upper half of a product of 64 bits */
static inline int32_t me_high(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b) >> 32); }

/* Four pairs of samples through the first two stages. */
static inline void me_fourier_begin(const int16_t *x, int32_t stride, const int32_t *window,
                                    const int16_t *order, int32_t *z)
{
    int32_t re[4], im[4];
    for (int32_t i = 0; i < 4; i++) {
        const int32_t at = 2 * order[i];
        re[i] = me_high(x[at * stride] * (1 << 14), window[at]);
        im[i] = me_high(x[(at + 1) * stride] * (1 << 14), window[at + 1]);
    }
    const int32_t a = re[0] + re[1], b = re[0] - re[1], c = re[2] + re[3], d = re[2] - re[3];
    const int32_t e = im[0] + im[1], f = im[0] - im[1], g = im[2] + im[3], h = im[2] - im[3];
    z[0] = a + c;
    z[1] = e + g;
    z[2] = b + h;
    z[3] = f - d;
    z[4] = a - c;
    z[5] = e - g;
    z[6] = b - h;
    z[7] = f + d;
}

/* Butterflies of groups of `size` numbers of `half`; roots[k * stride] turns by k / size. */
static inline void me_fourier_stage(int32_t *z, int32_t half, int32_t size, const int32_t *roots,
                                    int32_t stride)
{
    for (int32_t k = 0; k < size / 2; k++) {
        const int32_t cos = roots[2 * k * stride], sin = roots[2 * k * stride + 1];
        for (int32_t at = k; at < half; at += size) {
            int32_t *const a = z + 2 * at, *const b = a + size;
            const int32_t re = me_high(b[0], cos) - me_high(b[1], sin);
            const int32_t im = me_high(b[0], sin) + me_high(b[1], cos);
            const int32_t left = a[0] >> 1, right = a[1] >> 1;
            a[0] = left + re;
            a[1] = right + im;
            b[0] = left - re;
            b[1] = right - im;
        }
    }
}

/* length samples of x, a stride apart, times the window -> length / 2 complex numbers: the transform
 * of pairs of samples as complex numbers, divided by length / 2 */
static inline void me_fourier(const int16_t *x, int32_t stride, const int32_t *window, const int16_t *order,
                              const int32_t *roots, int32_t length, int32_t *z)
{
    const int32_t half = length / 2;
    for (int32_t i = 0; i < half; i += 4)
        me_fourier_begin(x, stride, window, order + i, z + 2 * i);
    for (int32_t size = 8; size <= half; size *= 2)
        me_fourier_stage(z, half, size, roots, length / size);
}

/* The curve at the power of a complex number: 16 points an octave, the first at 1. Of the larger
 * part 15 bits count. */
static inline int32_t me_on_curve(const int16_t *curve, int32_t re, int32_t im)
{
    const uint32_t a = (uint32_t)me_abs(re), b = (uint32_t)me_abs(im);
    const int32_t bits = (a | b) ? me_fl1(a | b) + 1 : 0, drop = bits > 15 ? bits - 15 : 0;
    const uint32_t sum = (a >> drop) * (a >> drop) + (b >> drop) * (b >> drop);
    const uint32_t power = sum ? sum : 1;
    const int32_t top = me_fl1(power);
    const uint32_t mantissa = power << (31 - top);
    const int16_t *low = curve + 16 * (top + 2 * drop) + (mantissa >> 27 & 15);
    return low[0] + (((low[1] - low[0]) * (int32_t)(mantissa >> 19 & 255) + 128) >> 8);
}

/* z of me_fourier -> at number k of the spectrum, and at length / 2 - k, the curve */
static inline void me_spectrum_pair(const int32_t *z, const int32_t *root, int32_t half, int32_t k,
                                    const int16_t *curve, int32_t *first, int32_t *last)
{
    const int32_t *a = z + 2 * k, *b = z + 2 * (k ? half - k : 0);
    const int32_t even_re = (a[0] >> 1) + (b[0] >> 1), even_im = (a[1] >> 1) - (b[1] >> 1);
    const int32_t odd_re = (a[1] >> 1) + (b[1] >> 1), odd_im = (b[0] >> 1) - (a[0] >> 1);
    const int32_t re = me_high(odd_re, root[0]) - me_high(odd_im, root[1]);
    const int32_t im = me_high(odd_re, root[1]) + me_high(odd_im, root[0]);
    *first = me_on_curve(curve, (even_re >> 1) + re, (even_im >> 1) + im);
    *last = me_on_curve(curve, (even_re >> 1) - re, (even_im >> 1) - im);
}

#endif
