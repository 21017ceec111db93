/* SPDX-License-Identifier: Apache-2.0
 * Linear predictors, computed from autocorrelations.
 */
#ifndef ME_LEVINSON_H
#define ME_LEVINSON_H

#include <stdint.h>

enum { ME_MOST_ORDER = 8 };

enum {
    ME_ENERGY_BITS = 30,
    ME_FRACTION_BITS = 24,
    ME_RATIO_BITS = 30,
    ME_DROP = ME_RATIO_BITS - ME_FRACTION_BITS
};

static void me_levinson_normalise(int64_t *r, int32_t order)
{
    int32_t right = 0, left = 0;
    if (r[0] <= 0)
        return;
    while (r[0] >> right >= (int64_t)1 << ME_ENERGY_BITS)
        right++;
    while (r[0] << left < (int64_t)1 << (ME_ENERGY_BITS - 1))
        left++;
    for (int32_t k = 0; k <= order; k++)
        r[k] = (r[k] >> right) * ((int64_t)1 << left);
}

/* a / b in units of 2^-30, rounded towards zero and limited to [-1, 1]; b below 2^31; 0 if b is 0. */
static int32_t me_levinson_quotient(int64_t a, int32_t b)
{
    const int64_t size = a < 0 ? -a : a;
    if (b == 0 || size >= b)
        return b == 0 ? 0 : a < 0 ? -(1 << ME_RATIO_BITS) : 1 << ME_RATIO_BITS;
    uint32_t rest = (uint32_t)size, q = 0;
    for (int32_t i = 0; i < ME_RATIO_BITS; i++) {
        rest <<= 1;
        const uint32_t fits = rest >= (uint32_t)b;
        rest -= fits ? (uint32_t)b : 0;
        q = q << 1 | fits;
    }
    return a < 0 ? -(int32_t)q : (int32_t)q;
}

static int32_t me_levinson_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << (ME_RATIO_BITS - 1))) >> ME_RATIO_BITS);
}

/* Levinson's and Durbin's recursion: a[1 .. order] in 2^-24 such that the sum of a[k] * x[t - k]
 * predicts x[t], from the autocorrelations r[k] = sum of x[t] * x[t + k]; order 1 to 8, |r[k]| <= r[0]
 * < 2^53. r is shifted so that r[0] has 30 bits. Zeros if r[0] is zero. */
static void me_levinson(int32_t *a, int64_t *r, int32_t order)
{
    me_levinson_normalise(r, order);
    int32_t energy = (int32_t)r[0];
    for (int32_t i = 1; i <= order; i++) {
        int64_t rest = r[i] * (1 << ME_FRACTION_BITS);
        for (int32_t j = 1; j < i; j++)
            rest -= (int64_t)a[j] * (int32_t)r[i - j];
        const int32_t ratio = me_levinson_quotient(rest >> ME_FRACTION_BITS, energy);
        for (int32_t j = 1; j <= i / 2; j++) {
            const int32_t first = a[j], last = a[i - j];
            a[j] = first - me_levinson_product(ratio, last);
            if (i - j != j)
                a[i - j] = last - me_levinson_product(ratio, first);
        }
        a[i] = (ratio + (1 << (ME_DROP - 1))) >> ME_DROP;
        const int64_t one = (int64_t)1 << (2 * ME_RATIO_BITS);
        const int32_t left = (int32_t)((one - (int64_t)ratio * ratio) >> ME_RATIO_BITS);
        energy = (int32_t)(((int64_t)energy * left) >> ME_RATIO_BITS);
    }
}

#endif
