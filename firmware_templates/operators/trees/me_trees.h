/* SPDX-License-Identifier: Apache-2.0
 * Ensembles of decision trees. Cores 0 .. 7 call it together and share the trees of a row; barriers are inside, none
 * is at the end.
 */
#ifndef ME_TREES_H
#define ME_TREES_H

#include "me_scale.h"

#define ME_TREE_PARTS 8 /* of the trees, whose sums are apart */

/* A node [2]: limit, an int16, in the low half and the feature, 0 to 32,767, in the high one; the node after x <=
 * limit in the low half and the other one in the high half, both int16 from the tree's first node on, or -1 - e for
 * entry e of the tree's leaves. A tree [2]: its first node and entry. An entry [2]: a number, and 2 * result, + 1 at
 * the last one of a leaf. y_wide: whether y is int16 instead of int8. Results 1 and more, trees 1 and more. */
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

/* y = clip(((((base + a leaf of every tree) >> pre) * mult) + offset) >> shift), sums inside int32; pre 0 to 20, mult
 * 0 to 32,767, shift 0 to 30. Then the table, of results of int8 only. */
void me_trees_s16(const me_trees_s16_params *op, const me_trees_s16_tile *tile);

#endif
