/* SPDX-License-Identifier: Apache-2.0
 * Short-time Fourier transforms of int16 samples with one exponent per frame
 * (docs/developers/integer-semantics.md). A complex value is a word: the real part in its lower half. Each
 * stage shifts right only as far as the largest value before it requires, so that magnitudes stay below
 * 2**14.5.
 */
#ifndef ME_FOURIER_H
#define ME_FOURIER_H

#include "me_math.h"

#define ME_FOURIER static inline __attribute__((always_inline))

typedef uint32_t me_complex;

ME_FOURIER int32_t me_re(me_complex a) { return me_exths((int32_t)a); }
ME_FOURIER int32_t me_im(me_complex a) { return (int32_t)a >> 16; }

/* a root of unity in Q15 as two words for dot products: (real, -imaginary) and (imaginary, real) */
typedef struct {
    uint32_t re, im;
} me_complex_root;

ME_FOURIER int32_t me_cosine(const me_complex_root *root) { return me_re(root->re); }
ME_FOURIER int32_t me_sine(const me_complex_root *root) { return me_re(root->im); }

/* Parameters that all transforms of one stage share.
 * radix, part    the radix, and the distance between the elements of a transform
 * turn           bytes from the twiddle factor of one k to the next
 * around         distance between the radix's roots of unity in `roots`, all roots
 * down, round    right shift of products with a root, and half of a result's step
 * shifts, half   the same of values, for both halves of a word
 * cosines, sines of radixes 3 and 5: of one and two steps around the circle; crossed: of two and one, the
 *                last sine negated */
typedef struct {
    int32_t radix, part, turn, around;
    const me_complex_root *roots;
    int32_t down, round;
    uint32_t shifts, half;
    uint32_t cosines, sines, crossed_cosines, crossed_sines;
} me_fourier_stage;

/* Shifts a value right. */
ME_FOURIER me_complex me_shifted(const me_fourier_stage *s, me_complex a)
{
    return me_sra_h(me_add_h(a, s->half), s->shifts);
}

/* Multiplies a value by the root of unity at `root`, moves `root` by `turn` bytes, and shifts the product
 * right. */
ME_FOURIER me_complex me_times_root(const me_fourier_stage *s, me_complex a, const int8_t **root,
                                    int32_t turn)
{
    const uint32_t im = ((const me_complex_root *)(const void *)*root)->im, re = me_step_w(root, turn);
    return me_pack_h((me_dotsp_h(a, re) + s->round) >> s->down, (me_dotsp_h(a, im) + s->round) >> s->down);
}

/* i * (a - b) */
ME_FOURIER me_complex me_i_times_difference(me_complex a, me_complex b)
{
    return me_pack_h(me_im(me_sub_h(b, a)), (int32_t)me_sub_h(a, b));
}

/* Transforms of 2, 4, 3 and 5 values in place. */
ME_FOURIER void me_transform_2(const me_fourier_stage *s, me_complex *x)
{
    (void)s;
    const me_complex a = x[0], b = x[1];
    x[0] = me_add_h(a, b);
    x[1] = me_sub_h(a, b);
}

ME_FOURIER void me_transform_4(const me_fourier_stage *s, me_complex *x)
{
    (void)s;
    const me_complex even = me_add_h(x[0], x[2]), left = me_sub_h(x[0], x[2]);
    const me_complex odd = me_add_h(x[1], x[3]), right = me_i_times_difference(x[3], x[1]);
    x[0] = me_add_h(even, odd);
    x[1] = me_add_h(left, right);
    x[2] = me_sub_h(even, odd);
    x[3] = me_sub_h(left, right);
}

/* (the halves of a * those of b, summed) in Q15, rounded */
ME_FOURIER int32_t me_dot_q15(uint32_t a, uint32_t b) { return me_addRN(me_dotsp_h(a, b), 0, 15); }

/* The products of real and imaginary parts `re` and `im` with two factors, summed, as a complex value */
ME_FOURIER me_complex me_weighted(uint32_t re, uint32_t im, uint32_t factors)
{
    return me_pack_h(me_dot_q15(re, factors), me_dot_q15(im, factors));
}

/* i times me_weighted */
ME_FOURIER me_complex me_i_weighted(uint32_t re, uint32_t im, uint32_t factors)
{
    return me_pack_h(-me_dot_q15(im, factors), me_dot_q15(re, factors));
}

ME_FOURIER void me_transform_3(const me_fourier_stage *s, me_complex *x)
{
    const me_complex a = x[0], sum = me_add_h(x[1], x[2]), off = me_sub_h(x[1], x[2]);
    const me_complex even = me_add_h(a, me_weighted(sum & 0xffff, sum >> 16, s->cosines)),
                     odd = me_i_weighted(off & 0xffff, off >> 16, s->sines);
    x[0] = me_add_h(a, sum);
    x[1] = me_add_h(even, odd);
    x[2] = me_sub_h(even, odd);
}

ME_FOURIER void me_transform_5(const me_fourier_stage *s, me_complex *x)
{
    const me_complex a = x[0];
    const me_complex far = me_add_h(x[1], x[4]), near = me_add_h(x[2], x[3]), out = me_sub_h(x[1], x[4]),
                     in = me_sub_h(x[2], x[3]);
    const uint32_t sum_re = me_pack_h((int32_t)far, (int32_t)near),
                   sum_im = me_pack_h(me_im(far), me_im(near)), off_re = me_pack_h((int32_t)out, (int32_t)in),
                   off_im = me_pack_h(me_im(out), me_im(in));
    const me_complex even = me_add_h(a, me_weighted(sum_re, sum_im, s->cosines)),
                     odd = me_i_weighted(off_re, off_im, s->sines),
                     even_2 = me_add_h(a, me_weighted(sum_re, sum_im, s->crossed_cosines)),
                     odd_2 = me_i_weighted(off_re, off_im, s->crossed_sines);
    x[0] = me_add_h(me_add_h(a, far), near);
    x[1] = me_add_h(even, odd);
    x[2] = me_add_h(even_2, odd_2);
    x[3] = me_sub_h(even_2, odd_2);
    x[4] = me_sub_h(even, odd);
}

/* Transform of an odd number of values, up to ME_FOURIER_MOST, in place. */
enum { ME_FOURIER_MOST = 31 };
static inline void me_transform_odd(const me_fourier_stage *s, me_complex *x)
{
    const int32_t radix = s->radix, round = 1 << 14;
    me_complex sum[ME_FOURIER_MOST / 2], off[ME_FOURIER_MOST / 2];
    const me_complex first = x[0];
    for (int32_t j = 1; j <= radix / 2; j++) {
        sum[j - 1] = me_add_h(x[j], x[radix - j]);
        off[j - 1] = me_sub_h(x[j], x[radix - j]);
        x[0] = me_add_h(x[0], sum[j - 1]);
    }
    for (int32_t out = 1; out <= radix / 2; out++) {
        int32_t even_re = round, even_im = round, odd_re = round, odd_im = round, turn = 0;
        for (int32_t j = 0; j < radix / 2; j++) {
            turn += out;
            turn -= turn >= radix ? radix : 0;
            const me_complex_root *root = s->roots + s->around * turn;
            const int32_t cosine = me_cosine(root), sine = me_sine(root);
            even_re = me_mac(even_re, me_re(sum[j]), cosine);
            even_im = me_mac(even_im, me_im(sum[j]), cosine);
            odd_re = me_mac(odd_re, me_re(off[j]), sine);
            odd_im = me_mac(odd_im, me_im(off[j]), sine);
        }
        const me_complex even = me_add_h(first, me_pack_h(even_re >> 15, even_im >> 15)),
                         odd = me_pack_h(-(odd_im >> 15), odd_re >> 15);
        x[out] = me_add_h(even, odd);
        x[radix - out] = me_sub_h(even, odd);
    }
}

/* One stage: each of the `groups` of RADIX transforms of PART values becomes one transform. The first value of
 * each part has no twiddle factor. Returns the largest magnitude of each part of the results. noinline: each
 * stage gets its own register allocation. MOST: the largest RADIX */
#define ME_FOURIER_STAGE(NAME, TRANSFORM, RADIX, MOST, PART) \
    static __attribute__((noinline)) uint32_t me_fourier_##NAME(const me_fourier_stage *stage, \
                                                                me_complex *z, int32_t groups) \
    { \
        const me_fourier_stage s = *stage; \
        const int32_t radix = (RADIX), part = (PART); \
        uint32_t most = 0; \
        for (; groups > 0; groups--, z += radix * part) { \
            int8_t *at[MOST]; \
            const int8_t *root[MOST]; \
            me_complex x[MOST]; \
            for (int32_t j = 0; j < radix; j++) { \
                at[j] = (int8_t *)(z + j * part); \
                root[j] = (const int8_t *)s.roots + j * s.turn; \
                x[j] = me_shifted(&s, z[j * part]); \
            } \
            for (int32_t k = 1;; k++) { \
                me_transform_##TRANSFORM(&s, x); \
                for (int32_t j = 0; j < radix; j++) { \
                    most = me_max_h(most, me_abs_h(x[j])); \
                    me_put_w(&at[j], x[j]); \
                } \
                if (k == part) \
                    break; \
                x[0] = me_shifted(&s, *(const me_complex *)(const void *)at[0]); \
                for (int32_t j = 1; j < radix; j++) \
                    x[j] = \
                        me_times_root(&s, *(const me_complex *)(const void *)at[j], &root[j], j * s.turn); \
            } \
        } \
        return most; \
    }
ME_FOURIER_STAGE(2, 2, 2, 2, s.part)
ME_FOURIER_STAGE(3, 3, 3, 3, s.part)
ME_FOURIER_STAGE(4, 4, 4, 4, s.part)
ME_FOURIER_STAGE(5, 5, 5, 5, s.part)
ME_FOURIER_STAGE(odd, odd, s.radix, ME_FOURIER_MOST, s.part)
ME_FOURIER_STAGE(first_4, 4, 4, 4, 1)

/* The right shift before a stage: magnitudes of sums of `radix` values stay below 2**14.5. most: the
 * largest magnitude of each part */
ME_FOURIER int32_t me_stage_shift(uint32_t most, int32_t radix)
{
    const int32_t part = me_max(me_re(most), me_im(most));
    return me_max(me_fl1((uint32_t)(2 * radix * part) | 1) - 14, 0);
}

/* A stage and its number of groups. */
typedef struct {
    int16_t radix, part, around, groups;
} me_fourier_sizes;

static inline me_fourier_stage me_fourier_stage_of(const me_fourier_sizes *sizes,
                                                   const me_complex_root *roots, int32_t shift)
{
    const int32_t step = 1 << shift >> 1;
    me_fourier_stage s = {
        .radix = sizes->radix,
        .part = sizes->part,
        .turn = 16 * sizes->groups,
        .around = sizes->around,
        .roots = roots,
        .down = shift + 15,
        .round = 1 << (shift + 14),
        .shifts = me_pack_h(shift, shift),
        .half = me_pack_h(step, step),
    };
    if (s.radix & 1) {
        const me_complex_root *one = roots + s.around, *two = one + s.around;
        s.cosines = me_pack_h(me_cosine(one), me_cosine(two));
        s.sines = me_pack_h(me_sine(one), me_sine(two));
        s.crossed_cosines = me_pack_h(me_cosine(two), me_cosine(one));
        s.crossed_sines = me_pack_h(me_sine(two), -me_sine(one));
    }
    return s;
}

/* Transforms complex values in place; their order is digit-reversed. One stage per radix.
 * -> the exponent of the results
 * most   the largest magnitude of each part */
static inline int32_t me_fourier(me_complex *z, const me_fourier_sizes *sizes, int32_t stages,
                                 const me_complex_root *roots, uint32_t most)
{
    int32_t exponent = 0;
    for (; stages > 0; stages--, sizes++) {
        const int32_t shift = me_stage_shift(most, sizes->radix);
        const me_fourier_stage s = me_fourier_stage_of(sizes, roots, shift);
        switch (s.radix) {
        case 2: most = me_fourier_2(&s, z, sizes->groups); break;
        case 3: most = me_fourier_3(&s, z, sizes->groups); break;
        case 4: most = (s.part == 1 ? me_fourier_first_4 : me_fourier_4)(&s, z, sizes->groups); break;
        case 5: most = me_fourier_5(&s, z, sizes->groups); break;
        default: most = me_fourier_odd(&s, z, sizes->groups);
        }
        exponent += shift;
    }
    return exponent;
}

/* The curve at the power of a complex value, interpolated; the curve has 16 points per octave. origin: the
 * point of power 0, 16 before that of power 1 */
ME_FOURIER int32_t me_on_curve(const int16_t *origin, int32_t re, int32_t im)
{
    const uint32_t power = (uint32_t)me_mac(re * re, im, im);
    const int32_t top = me_fl1(power | 1);
    const uint32_t mantissa = power << (31 - top);
    const int16_t *low = origin + 16 * top + (int32_t)(mantissa >> 27);
    return low[0] + me_addRN((low[1] - low[0]) * (int32_t)me_extractu(mantissa, 8, 19), 0, 8);
}

/* Computes the curve at frequencies k and half - k of a real signal from elements k and half - k of
 * me_fourier's result. */
ME_FOURIER void me_spectrum_pair(me_complex a, me_complex b, int32_t cosine, int32_t sine,
                                 const int16_t *origin, int32_t *first, int32_t *last)
{
    const int32_t even_re = (me_re(a) + me_re(b)) * (1 << 14), even_im = (me_im(a) - me_im(b)) * (1 << 14);
    const int32_t odd_re = me_im(a) + me_im(b), odd_im = me_re(b) - me_re(a);
    const int32_t re = me_msu(odd_re * cosine, odd_im, sine) >> 1,
                  im = me_mac(odd_re * sine, odd_im, cosine) >> 1;
    *first = me_on_curve(origin, me_addRN(even_re, re, 15), me_addRN(even_im, im, 15));
    *last = me_on_curve(origin, me_addRN(even_re, -re, 15), me_addRN(even_im, -im, 15));
}

#endif
