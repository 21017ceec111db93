/* SPDX-License-Identifier: Apache-2.0
 * Ensembles of decision trees. Cores 0 .. 7 call the kernel together and share the trees of a row; there
 * are barriers inside, but none at the end.
 */
#ifndef ME_TREES_H
#define ME_TREES_H

#include "me_scale.h"

#define ME_TREE_PARTS 8 /* parts into which the trees are divided; each has its own sums */

/* nodes    [2] each: limit (int16, low half) and feature (0 to 32,767, high half); the child for x <=
 *          limit (low half) and the other child (high half). A child is an int16 index from the tree's
 *          first node on, or -1 - e for entry e of the tree's leaves
 * trees    [2] each: first node and first entry
 * entries  [2] each: a value, and 2 * result, plus 1 for the last entry of a leaf
 * y_wide   whether y is int16 instead of int8
 * results and count are at least 1. */
typedef struct {
    int32_t features, results, count, y_wide;
    const int32_t *nodes, *trees, *base;
    const int16_t *entries;
    const me_channel *each;
    me_scale scale;
} me_trees_s16_params;

/* x [rows][features], y [rows][results], sums [ME_TREE_PARTS][results] */
typedef struct {
    const int16_t *x;
    void *y;
    int32_t *sums;
    int32_t rows;
} me_trees_s16_tile;

/* y = clip(((((base + sum of the reached leaves of all trees) >> pre) * mult) + offset) >> shift), then,
 * for int8 results, the table; sums fit int32; pre 0 to 20, mult 0 to 32,767, shift 0 to 30. */
void me_trees_s16(const me_trees_s16_params *op, const me_trees_s16_tile *tile);

#endif
