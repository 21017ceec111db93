/* SPDX-License-Identifier: Apache-2.0
 * Linear discriminant analysis. The scatter within classes, scaled to 29 bits and with a ridge on its
 * diagonal, is factored (Cholesky) into a lower triangle with 30 fraction bits. Solving with it turns each
 * class's difference of mean and centre into the direction of the class. Bounds are those of statistics.py;
 * sums of products wrap modulo 2**64.
 */
#include "me_adapt_state.h"

#define DIAGONAL_BITS 29
#define RIDGE_SHIFT 5
#define LEAST_RIDGE_SHIFT 9
#define LEAST_RIDGE (1 << (DIAGONAL_BITS - LEAST_RIDGE_SHIFT - 1))
#define POINT 30
#define INVERSE_POINT 24
#define WANTED_POINT 6
#define MOST_SOLVED (1 << 24)

static int64_t clamp(int64_t x, int64_t most) { return x < -most ? -most : x > most ? most : x; }

/* Scatter: products minus (sum of class i) * (mean of class j), with 24 fraction bits. */
static int64_t scatter(int32_t i, int32_t j)
{
    const int32_t size = me_adapt_of.features;
    const int32_t *sums = me_adapt_of.sums + i;
    const int64_t *means = me_adapt_of.means + j;
    int64_t within = (int64_t)me_adapt_of.products[me_adapt_row(i) + j] * (1 << ME_ADAPT_MEAN_POINT);
    for (int32_t label = 0; label < me_adapt_of.classes; label++, sums += size, means += size)
        within -= *sums * *means;
    return within;
}

/* Writes the scaled scatter with its ridge to the buffer of the factor. */
static void write_scaled_scatter(void)
{
    const int32_t size = me_adapt_of.features;
    int32_t *matrix = me_adapt_of.factor, most = INT32_MIN;
    int64_t largest = 1 << ME_ADAPT_MEAN_POINT, sum = 0;
    for (int32_t i = 0; i < size; i++) {
        const int64_t variance = scatter(i, i);
        largest = variance > largest ? variance : largest;
    }
    const int32_t shift = me_adapt_bits((uint64_t)largest) - DIAGONAL_BITS;
    for (int32_t i = 0; i < size; i++) {
        for (int32_t j = 0; j <= i; j++) {
            const int64_t x = scatter(i, j), moved = shift < 0 ? x * (1 << -shift) : x >> shift;
            *matrix++ = (int32_t)clamp(moved, 1 << DIAGONAL_BITS);
        }
        me_adapt_go_on();
        sum += matrix[-1];
        most = matrix[-1] > most ? matrix[-1] : most;
    }
    const int32_t mean = sum > 0 ? (int32_t)me_adapt_divide(sum, (uint32_t)size) : 0;
    int32_t ridge = mean >> RIDGE_SHIFT > LEAST_RIDGE ? mean >> RIDGE_SHIFT : LEAST_RIDGE;
    ridge = most >> LEAST_RIDGE_SHIFT > ridge ? most >> LEAST_RIDGE_SHIFT : ridge;
    for (int32_t i = 0; i < size; i++)
        me_adapt_of.factor[me_adapt_row(i) + i] += ridge;
}

/* -> sum of a * b, modulo 2**64 */
static int64_t dot_product(const int32_t *a, const int32_t *b, int32_t count)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += (uint64_t)((int64_t)a[i] * b[i]);
    return (int64_t)sum;
}

/* -> left * inverse >> 24, with left taken modulo 2**64 */
static int64_t times_inverse(int64_t left, uint32_t inverse)
{
    return (int64_t)((uint64_t)left * inverse) >> INVERSE_POINT;
}

static void factorise(void)
{
    const int32_t size = me_adapt_of.features;
    for (int32_t j = 0; j < size; j++) {
        int32_t *pivots = me_adapt_of.factor + me_adapt_row(j);
        const int64_t least = (int64_t)LEAST_RIDGE << POINT, whole = (int64_t)pivots[j] << POINT;
        const int64_t pivot = (int64_t)((uint64_t)whole - (uint64_t)dot_product(pivots, pivots, j));
        const uint32_t root = me_adapt_root((uint64_t)(pivot > least ? pivot : least));
        const uint32_t inverse = (uint32_t)me_adapt_divide((int64_t)1 << (POINT + INVERSE_POINT), root);
        me_adapt_of.inverses[j] = inverse;
        pivots[j] = (int32_t)root;
        for (int32_t i = j + 1; i < size; i++) {
            int32_t *row = me_adapt_of.factor + me_adapt_row(i);
            const uint64_t entry = (uint64_t)((int64_t)row[j] * (1 << POINT));
            const int64_t left = (int64_t)(entry - (uint64_t)dot_product(row, pivots, j));
            row[j] = (int32_t)clamp(times_inverse(left >> POINT, inverse), 1 << POINT);
        }
        me_adapt_go_on();
    }
}

static int64_t solve_entry(int64_t wanted, uint64_t known, uint32_t inverse)
{
    return clamp(times_inverse(wanted - ((int64_t)known >> POINT), inverse), MOST_SOLVED);
}

/* Solves factor * transposed factor * w = found; w replaces found. */
static void solve(int64_t *found)
{
    const int32_t size = me_adapt_of.features;
    for (int32_t i = 0; i < size; i++) {
        const int32_t *row = me_adapt_of.factor + me_adapt_row(i);
        uint64_t known = 0;
        for (int32_t k = 0; k < i; k++)
            known += (uint64_t)(row[k] * found[k]);
        found[i] = solve_entry(found[i], known, me_adapt_of.inverses[i]);
    }
    for (int32_t i = size - 1; i >= 0; i--) {
        uint64_t known = 0;
        for (int32_t k = i + 1; k < size; k++)
            known += (uint64_t)(me_adapt_of.factor[me_adapt_row(k) + i] * found[k]);
        found[i] = solve_entry(found[i], known, me_adapt_of.inverses[i]);
    }
}

void me_adapt_fit_lda(void)
{
    const int32_t size = me_adapt_of.features, classes = me_adapt_of.classes;
    me_adapt_find_means();
    write_scaled_scatter();
    factorise();
    const int64_t *means = me_adapt_of.means, *centre = means + classes * size;
    for (int32_t label = 0; label < classes; label++) {
        int64_t *direction = me_adapt_of.directions + label * size;
        for (int32_t i = 0; i < size; i++) {
            const int64_t way = means[label * size + i] - centre[i];
            direction[i] = me_adapt.counts[label] > 0 ? way >> (ME_ADAPT_MEAN_POINT - WANTED_POINT) : 0;
        }
        solve(direction);
    }
    me_adapt_from_directions();
}
