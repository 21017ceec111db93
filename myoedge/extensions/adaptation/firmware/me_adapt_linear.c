/* SPDX-License-Identifier: Apache-2.0 */
#include "me_adapt_state.h"

#define WEIGHT_BITS 14
#define BIAS_LIMIT (1 << 29)

/* Long division, because the chip divides only 32 bits. */
int64_t me_adapt_divide(int64_t a, uint32_t n)
{
    uint64_t left = a < 0 ? (uint64_t)-a + (n - 1) : (uint64_t)a, quotient = 0, rest = 0;
    int32_t bits = me_adapt_bits(left);
    while (bits-- > 0) {
        rest = rest << 1 | (left >> bits & 1);
        quotient <<= 1;
        if (rest >= n) {
            rest -= n;
            quotient |= 1;
        }
    }
    return a < 0 ? -(int64_t)quotient : (int64_t)quotient;
}

int32_t me_adapt_bits(uint64_t x)
{
    int32_t bits = 0;
    for (; x >= 256; x >>= 8)
        bits += 8;
    for (; x != 0; x >>= 1)
        bits++;
    return bits;
}

uint32_t me_adapt_root(uint64_t x)
{
    uint32_t root = 0;
    for (uint32_t bit = 1u << 30; bit != 0; bit >>= 1)
        if ((uint64_t)(root | bit) * (root | bit) <= x)
            root |= bit;
    return root;
}

void me_adapt_find_means(void)
{
    const int32_t size = me_adapt_of.features, classes = me_adapt_of.classes;
    int64_t *means = me_adapt_of.means, *centre = means + classes * size;
    uint32_t present = 0;
    for (int32_t i = 0; i < size; i++)
        centre[i] = 0;
    for (int32_t label = 0; label < classes; label++) {
        const int32_t count = me_adapt.counts[label];
        present += count > 0;
        for (int32_t i = 0; i < size; i++) {
            const int64_t sum = (int64_t)me_adapt_of.sums[label * size + i] * (1 << ME_ADAPT_MEAN_POINT);
            const int64_t mean = count > 0 ? me_adapt_divide(sum, (uint32_t)count) : 0;
            means[label * size + i] = mean;
            centre[i] += mean;
        }
    }
    for (int32_t i = 0; i < size && present > 1; i++)
        centre[i] = me_adapt_divide(centre[i], present);
}

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

static int64_t clamp(int64_t x, int64_t most) { return x < -most ? -most : x > most ? most : x; }

/* Products of weights (at most 2**14) and means (at most 2**33) fit int64. */
void me_adapt_from_directions(void)
{
    const int32_t size = me_adapt_of.features, classes = me_adapt_of.classes, numbers = classes * size;
    const int64_t *directions = me_adapt_of.directions, *means = me_adapt_of.means, *centre = means + numbers;
    int16_t *weights = me_adapt_of.weights + numbers;
    int64_t largest = 0;
    for (int32_t i = 0; i < numbers; i++)
        if (magnitude(directions[i]) > largest)
            largest = magnitude(directions[i]);
    const int32_t shift = me_adapt_bits((uint64_t)largest) - WEIGHT_BITS;
    for (int32_t label = 0; label < classes; label++) {
        int64_t half = 0;
        for (int32_t i = 0; i < size; i++, weights++, means++, directions++) {
            const int64_t moved = shift >= 0 ? *directions >> shift : *directions * (1 << -shift);
            *weights = (int16_t)moved;
            half += moved * (*means + centre[i]);
        }
        half >>= ME_ADAPT_MEAN_POINT + 1;
        me_adapt.bias[1][label] =
            me_adapt.counts[label] > 0 ? (int32_t)clamp(-half, BIAS_LIMIT) : ME_ADAPT_NEVER;
    }
}

void me_adapt_fit_prototypes(void)
{
    const int32_t size = me_adapt_of.features, classes = me_adapt_of.classes;
    me_adapt_find_means();
    const int64_t *means = me_adapt_of.means, *centre = means + classes * size;
    for (int32_t label = 0; label < classes; label++)
        for (int32_t i = 0; i < size; i++) {
            const int32_t at = label * size + i;
            me_adapt_of.directions[at] = me_adapt.counts[label] > 0 ? means[at] - centre[i] : 0;
        }
    me_adapt_from_directions();
}
