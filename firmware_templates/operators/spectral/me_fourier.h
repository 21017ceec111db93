/* SPDX-License-Identifier: Apache-2.0
 * Short-time Fourier transforms of int16 samples in int32 (docs/developers/integer-semantics.md). Each
 * stage shifts right by ceil(log2(radix)) bits, so that magnitudes stay below sqrt(2) * 2**30.
 */
#ifndef ME_FOURIER_H
#define ME_FOURIER_H

#include "me_math.h"

/* the upper word of a 64-bit product */
static inline int32_t me_high(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b) >> 32); }

typedef struct {
    int32_t re, im;
} me_complex;

#define ME_FOURIER static inline __attribute__((always_inline))

ME_FOURIER me_complex me_plus(me_complex a, me_complex b) { return (me_complex){ a.re + b.re, a.im + b.im }; }
ME_FOURIER me_complex me_minus(me_complex a, me_complex b)
{
    return (me_complex){ a.re - b.re, a.im - b.im };
}
/* a + i * b */
ME_FOURIER me_complex me_plus_i_times(me_complex a, me_complex b)
{
    return (me_complex){ a.re - b.im, a.im + b.re };
}

/* a times a real factor in Q31, rounded down */
ME_FOURIER me_complex me_times(me_complex a, int32_t factor)
{
    return (me_complex){ me_high(2 * a.re, factor), me_high(2 * a.im, factor) };
}

/* Parameters that all transforms of one stage share.
 * part           distance between the elements of a transform
 * turn           stride of the twiddle factors from one k to the next
 * roots          all roots of unity
 * radix, around  the radix, and the stride of its roots of unity */
typedef struct {
    int32_t part, turn;
    const int32_t *roots;
    int32_t radix, around;
} me_fourier_stage;

/* Element j of a transform, shifted right and multiplied by its twiddle factor. There is no twiddle factor
 * for j = 0 or k = 0. */
ME_FOURIER me_complex me_times_root(const me_fourier_stage *s, const me_complex *z, int32_t halvings,
                                    int32_t k, int32_t j)
{
    const me_complex a = z[j * s->part];
    if (k == 0 || j == 0)
        return (me_complex){ a.re >> halvings, a.im >> halvings };
    const int32_t *const root = s->roots + 2 * k * j * s->turn;
    const int32_t re = a.re >> (halvings - 1), im = a.im >> (halvings - 1), cos = root[0], sin = root[1];
    return (me_complex){ me_high(re, cos) - me_high(im, sin), me_high(re, sin) + me_high(im, cos) };
}

ME_FOURIER void me_fourier_2(const me_fourier_stage *s, me_complex *z, int32_t k)
{
    const me_complex a = me_times_root(s, z, 1, k, 0), b = me_times_root(s, z, 1, k, 1);
    z[0] = me_plus(a, b);
    z[s->part] = me_minus(a, b);
}

ME_FOURIER void me_fourier_4(const me_fourier_stage *s, me_complex *z, int32_t k)
{
    const me_complex a = me_times_root(s, z, 2, k, 0), b = me_times_root(s, z, 2, k, 1),
                     c = me_times_root(s, z, 2, k, 2), d = me_times_root(s, z, 2, k, 3);
    const me_complex even = me_plus(a, c), odd = me_plus(b, d), left = me_minus(a, c), right = me_minus(d, b);
    z[0] = me_plus(even, odd);
    z[s->part] = me_plus_i_times(left, right);
    z[2 * s->part] = me_minus(even, odd);
    z[3 * s->part] = me_plus_i_times(left, me_minus(b, d));
}

ME_FOURIER void me_fourier_3(const me_fourier_stage *s, me_complex *z, int32_t k)
{
    const int32_t *root = s->roots + 2 * s->around;
    const me_complex a = me_times_root(s, z, 2, k, 0), b = me_times_root(s, z, 2, k, 1),
                     c = me_times_root(s, z, 2, k, 2);
    const me_complex sum = me_plus(b, c), even = me_plus(a, me_times(sum, root[0])),
                     odd = me_times(me_minus(b, c), root[1]);
    z[0] = me_plus(a, sum);
    z[s->part] = me_plus_i_times(even, odd);
    z[2 * s->part] = me_minus(even, (me_complex){ -odd.im, odd.re });
}

ME_FOURIER void me_fourier_5(const me_fourier_stage *s, me_complex *z, int32_t k)
{
    const int32_t *one = s->roots + 2 * s->around, *two = s->roots + 4 * s->around;
    const me_complex a = me_times_root(s, z, 3, k, 0), b = me_times_root(s, z, 3, k, 1),
                     c = me_times_root(s, z, 3, k, 2), d = me_times_root(s, z, 3, k, 3),
                     e = me_times_root(s, z, 3, k, 4);
    const me_complex far = me_plus(b, e), near = me_plus(c, d), out = me_minus(b, e), in = me_minus(c, d);
    const me_complex even = me_plus(me_plus(a, me_times(far, one[0])), me_times(near, two[0])),
                     even_2 = me_plus(me_plus(a, me_times(far, two[0])), me_times(near, one[0]));
    const me_complex odd = me_plus(me_times(out, one[1]), me_times(in, two[1])),
                     odd_2 = me_minus(me_times(out, two[1]), me_times(in, one[1]));
    z[0] = me_plus(me_plus(a, far), near);
    z[s->part] = me_plus_i_times(even, odd);
    z[2 * s->part] = me_plus_i_times(even_2, odd_2);
    z[3 * s->part] = me_minus(even_2, (me_complex){ -odd_2.im, odd_2.re });
    z[4 * s->part] = me_minus(even, (me_complex){ -odd.im, odd.re });
}

/* Butterfly of any odd radix up to ME_FOURIER_MOST. */
enum { ME_FOURIER_MOST = 31 };
static inline void me_fourier_odd(const me_fourier_stage *s, me_complex *z, int32_t k)
{
    const int32_t radix = s->radix, part = s->part, halvings = me_fl1((uint32_t)radix) + 1;
    me_complex sum[ME_FOURIER_MOST / 2], off[ME_FOURIER_MOST / 2];
    const me_complex first = me_times_root(s, z, halvings, k, 0);
    me_complex all = first;
    for (int32_t j = 1; j <= radix / 2; j++) {
        const me_complex a = me_times_root(s, z, halvings, k, j),
                         b = me_times_root(s, z, halvings, k, radix - j);
        sum[j - 1] = me_plus(a, b);
        off[j - 1] = me_minus(a, b);
        all = me_plus(all, sum[j - 1]);
    }
    z[0] = all;
    for (int32_t out = 1; out <= radix / 2; out++) {
        me_complex even = first, odd = { 0, 0 };
        int32_t turn = 0;
        for (int32_t j = 0; j < radix / 2; j++) {
            turn += out;
            turn -= turn >= radix ? radix : 0;
            const int32_t *root = s->roots + 2 * s->around * me_min(turn, radix - turn);
            const me_complex more = me_times(off[j], root[1]);
            even = me_plus(even, me_times(sum[j], root[0]));
            odd = 2 * turn < radix ? me_plus(odd, more) : me_minus(odd, more);
        }
        z[out * part] = me_plus_i_times(even, odd);
        z[(radix - out) * part] = me_minus(even, (me_complex){ -odd.im, odd.re });
    }
}

/* One stage: each group of RADIX transforms becomes one transform, for all `half` values; k is the index
 * in a part. noinline: each stage gets its own register allocation. */
#define ME_FOURIER_RADIX(RADIX) \
    static __attribute__((noinline)) void me_fourier_all_##RADIX(const me_fourier_stage *stage, \
                                                                 me_complex *z, int32_t half) \
    { \
        const me_fourier_stage s = *stage; \
        const int32_t size = s.radix * s.part; \
        for (int32_t at = 0; at < half; at += size) \
            me_fourier_##RADIX(&s, z + at, 0); \
        for (int32_t k = 1; k < s.part; k++) { \
            int32_t at = k; \
            do \
                me_fourier_##RADIX(&s, z + at, k); \
            while ((at += size) < half); \
        } \
    }
ME_FOURIER_RADIX(2)
ME_FOURIER_RADIX(3)
ME_FOURIER_RADIX(4)
ME_FOURIER_RADIX(5)
ME_FOURIER_RADIX(odd)

/* Transforms `half` complex values in place; their order is digit-reversed. One stage per radix. */
static inline void me_fourier(me_complex *z, int32_t half, const int16_t *radixes, int32_t stages,
                              const int32_t *roots)
{
    for (int32_t i = 0, part = 1; i < stages; i++) {
        const int32_t radix = radixes[i];
        const me_fourier_stage s = { part, 2 * half / (radix * part), roots, radix, 2 * half / radix };
        switch (radix) {
        case 2: me_fourier_all_2(&s, z, half); break;
        case 3: me_fourier_all_3(&s, z, half); break;
        case 4: me_fourier_all_4(&s, z, half); break;
        case 5: me_fourier_all_5(&s, z, half); break;
        default: me_fourier_all_odd(&s, z, half);
        }
        part *= radix;
    }
}

/* The curve at the power of a complex value, interpolated; the curve has 16 points per octave, the first
 * at power 1. The larger component is reduced to 15 bits. */
ME_FOURIER int32_t me_on_curve(const int16_t *curve, int32_t re, int32_t im)
{
    const uint32_t a = (uint32_t)me_abs(re), b = (uint32_t)me_abs(im);
    const int32_t drop = me_max(me_fl1(a | b | 1) - 14, 0);
    const int32_t x = (int32_t)(a >> drop), y = (int32_t)(b >> drop);
    const uint32_t power = me_maxu((uint32_t)me_mac(x * x, y, y), 1);
    const int32_t top = me_fl1(power);
    const uint32_t mantissa = power << (31 - top);
    const int16_t *low = curve + 16 * (top + 2 * drop) + (int32_t)(mantissa >> 27) - 16;
    return low[0] + (((low[1] - low[0]) * (int32_t)me_extractu(mantissa, 8, 19) + 128) >> 8);
}

/* Computes the curve at frequencies k and half - k of a real signal from elements k and half - k of
 * me_fourier's result. */
ME_FOURIER void me_spectrum_pair(me_complex a, me_complex b, const int32_t *root, const int16_t *curve,
                                 int32_t *first, int32_t *last)
{
    const int32_t even_re = (a.re >> 1) + (b.re >> 1), even_im = (a.im >> 1) - (b.im >> 1);
    const int32_t odd_re = (a.im >> 1) + (b.im >> 1), odd_im = (b.re >> 1) - (a.re >> 1);
    const int32_t re = me_high(odd_re, root[0]) - me_high(odd_im, root[1]);
    const int32_t im = me_high(odd_re, root[1]) + me_high(odd_im, root[0]);
    *first = me_on_curve(curve, (even_re >> 1) + re, (even_im >> 1) + im);
    *last = me_on_curve(curve, (even_re >> 1) - re, (even_im >> 1) - im);
}

#endif
