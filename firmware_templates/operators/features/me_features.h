/* SPDX-License-Identifier: Apache-2.0
 * Time-domain features of windows in L1. Cores 0 .. 7 call it together; each computes its share of the sums, and no
 * barrier is inside.
 */
#ifndef ME_FEATURES_H
#define ME_FEATURES_H

#include <stdint.h>

/* A factor of samples s = x - x_zero from t on. form 0: a, 1: |a|, 2: a * b, 3: the larger of |a| and |b|, with a = s[t +
 * a_first] - s[t + a_less], or s[t + a_first] if a_less is -1; b likewise. test 1: 1 if it is >= limit, else 0; -1: 1
 * where it is <= limit; 0: none. form 4: the linear predictor of order a_first, 1 to 8, limit * 2^test added to its energy. */
typedef struct {
    int32_t form, a_first, a_less, b_first, b_less, test, limit;
} me_feature_factor;

/* Features that one pass over a window computes: `count` of them from the feature `first` on. edges 2^n - 1, up to 31: the
 * samples' factor is counted in cells between the edges from edges[edge] on, and a feature is the sum of neighbouring
 * cells. edges 0: coefficients of a predictor, or one sum of products of factors. */
typedef struct {
    int32_t first, count, factor, edge, edges;
} me_feature_group;

/* parts [results][3] of a sum: its first factor, their number, 1 to 4, of which the last one may have no test, and what the
 * sum is shifted right by, 0 to 40, so that it is inside int32; of cells: the first one and the one after the last; of a
 * predictor: the coefficient, from 1 on. factors: me_feature_factor. groups: me_feature_group. each
 * [results][channels][3]: mult inside 32 bits, offset in 1/256 output steps, shift 8 to 54, offset << (shift - 8) inside
 * 63 bits. x_wide, y_wide: whether x and y are int16 instead of int8. */
typedef struct {
    int32_t length, channels, results, group_count, x_zero, x_wide, y_wide;
    const int32_t *parts, *factors, *groups, *edges, *each;
} me_features_s16_params;

/* x [n][c][length], y [n][results][c]: the channels from the first on */
typedef struct {
    const void *x;
    void *y;
    int32_t n, c, first;
} me_features_s16_tile;

/* y = clip(((sum >> down) * mult + (offset << (shift - 8))) >> shift) in 64 bits, of all positions at which the samples
 * are there; length 1 to 32,768. Coefficients of predictors are sums in 2^-24. */
void me_features_s16(const me_features_s16_params *op, const me_features_s16_tile *tile);

#endif
