/* SPDX-License-Identifier: Apache-2.0
 * Time-domain features of windows in L1. Cores 0 .. 7 call the kernel together, and each computes its share
 * of the sums; there is no barrier inside.
 */
#ifndef ME_FEATURES_H
#define ME_FEATURES_H

#include <stdint.h>

/* A factor at position t, of samples s = x - x_zero, with a = s[t + a_first] - s[t + a_less], or s[t +
 * a_first] if a_less is -1; b likewise.
 * form  0: a, 1: |a|, 2: a * b, 3: max(|a|, |b|), 4: the linear predictor of order a_first, 1 to 8, with
 *       limit * 2^test added to its energy
 * test  1: the factor is 1 if the value >= limit, otherwise 0; -1: 1 if the value <= limit; 0: the value
 *       itself */
typedef struct {
    int32_t form, a_first, a_less, b_first, b_less, test, limit;
} me_feature_factor;

/* A group: `count` features from the feature `first` on, which one pass over a window computes. edges is 0
 * or 2^n - 1, up to 31. If it is not 0, the pass counts the factor's values in the cells between the
 * sorted edges from edges[edge] on; a feature is a sum of adjacent cells. If it is 0, the features are
 * coefficients of a predictor, or one sum of products of factors. */
typedef struct {
    int32_t first, count, factor, edge, edges;
} me_feature_group;

/* parts           [results][3]. Of a sum: the first factor, the number of factors, 1 to 4 (only the last
 *                 one may have no test), and the right shift of the sum, 0 to 40, after which it fits
 *                 int32. Of cells: first and end of the cells. Of a predictor: the coefficient, from 1 on
 * factors         me_feature_factor
 * groups          me_feature_group
 * each            [results][channels][3]: mult, an int32; offset in 1/256 output steps; shift 8 to 54;
 *                 offset << (shift - 8) fits in 63 bits
 * x_wide, y_wide  whether x and y are int16 instead of int8 */
typedef struct {
    int32_t length, channels, results, group_count, x_zero, x_wide, y_wide;
    const int32_t *parts, *factors, *groups, *edges, *each;
} me_features_s16_params;

/* x [n][c][length], y [n][results][c]; first: index of the first channel */
typedef struct {
    const void *x;
    void *y;
    int32_t n, c, first;
} me_features_s16_tile;

/* y = clip(((sum >> down) * mult + (offset << (shift - 8))) >> shift) in 64 bits, summed over all
 * positions whose samples are inside the window; length 1 to 32,768. Coefficients of predictors are sums
 * in units of 2^-24. */
void me_features_s16(const me_features_s16_params *op, const me_features_s16_tile *tile);

#endif
