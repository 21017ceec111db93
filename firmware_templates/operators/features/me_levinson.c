/* SPDX-License-Identifier: Apache-2.0 */
#include "me_levinson.h"

enum { ENERGY_BITS = 30, FRACTION_BITS = 24, RATIO_BITS = 30, DROP = RATIO_BITS - FRACTION_BITS };

static void normalise(int64_t *r, int32_t order)
{
    int32_t right = 0, left = 0;
    if (r[0] <= 0)
        return;
    while (r[0] >> right >= (int64_t)1 << ENERGY_BITS)
        right++;
    while (r[0] << left < (int64_t)1 << (ENERGY_BITS - 1))
        left++;
    for (int32_t k = 0; k <= order; k++)
        r[k] = (r[k] >> right) * ((int64_t)1 << left);
}

/* a / b in 2^-30, towards zero and within 1; b below 2^31, 0 if b is 0. */
static int32_t quotient(int64_t a, int32_t b)
{
    const int64_t size = a < 0 ? -a : a;
    if (b == 0 || size >= b)
        return b == 0 ? 0 : a < 0 ? -(1 << RATIO_BITS) : 1 << RATIO_BITS;
    uint32_t rest = (uint32_t)size, q = 0;
    for (int32_t i = 0; i < RATIO_BITS; i++) {
        rest <<= 1;
        const uint32_t fits = rest >= (uint32_t)b;
        rest -= fits ? (uint32_t)b : 0;
        q = q << 1 | fits;
    }
    return a < 0 ? -(int32_t)q : (int32_t)q;
}

static int32_t product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << (RATIO_BITS - 1))) >> RATIO_BITS);
}

void me_levinson(int32_t *a, int64_t *r, int32_t order)
{
    normalise(r, order);
    int32_t energy = (int32_t)r[0];
    for (int32_t i = 1; i <= order; i++) {
        int64_t rest = r[i] * (1 << FRACTION_BITS);
        for (int32_t j = 1; j < i; j++)
            rest -= (int64_t)a[j] * (int32_t)r[i - j];
        const int32_t ratio = quotient(rest >> FRACTION_BITS, energy);
        for (int32_t j = 1; j <= i / 2; j++) {
            const int32_t first = a[j], last = a[i - j];
            a[j] = first - product(ratio, last);
            if (i - j != j)
                a[i - j] = last - product(ratio, first);
        }
        a[i] = (ratio + (1 << (DROP - 1))) >> DROP;
        const int64_t one = (int64_t)1 << (2 * RATIO_BITS);
        const int32_t left = (int32_t)((one - (int64_t)ratio * ratio) >> RATIO_BITS);
        energy = (int32_t)(((int64_t)energy * left) >> RATIO_BITS);
    }
}
