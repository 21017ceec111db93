/* SPDX-License-Identifier: Apache-2.0 */
#include "me_trees.h"

#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

/* Adds the entries of the leaf that x reaches in a tree. */
static void add_leaf(const me_trees_s16_params *op, const int32_t *tree, const int16_t *x, int32_t *sums)
{
    const int32_t *nodes = op->nodes + 2 * tree[0];
    int32_t at = 0;
    do {
        const int32_t test = nodes[2 * at], ways = nodes[2 * at + 1];
        at = x[test >> 16] <= (int16_t)test ? (int16_t)ways : ways >> 16;
    } while (at >= 0);
    const int16_t *entry = op->entries + 2 * (tree[1] - 1 - at);
    int32_t mark;
    do {
        mark = entry[1];
        sums[mark >> 1] += entry[0];
        entry += 2;
    } while (!(mark & 1));
}

static void add_trees(const me_trees_s16_params *op, const int16_t *x, int32_t part, int32_t *sums)
{
    const int32_t end = me_share_of(ME_TREE_PARTS, part + 1, op->count);
    for (int32_t i = 0; i < op->results; i++)
        sums[i] = part ? 0 : op->base[i];
    for (int32_t i = me_share_of(ME_TREE_PARTS, part, op->count); i < end; i++)
        add_leaf(op, op->trees + 2 * i, x, sums);
}

void me_trees_s16(const me_trees_s16_params *op, const me_trees_s16_tile *tile)
{
    const int32_t results = op->results;
    for (int32_t row = 0; row < tile->rows; row++) {
        for (int32_t part = ME_FIRST_PART(ME_TREE_PARTS); part < ME_END_PART(ME_TREE_PARTS); part++)
            add_trees(op, tile->x + row * op->features, part, tile->sums + part * results);
        ME_SYNC();
        for (int32_t i = ME_FIRST(results); i < ME_LAST(results); i++) {
            int32_t sum = tile->sums[i];
            for (int32_t part = 1; part < ME_TREE_PARTS; part++)
                sum += tile->sums[part * results + i];
            const int32_t q =
                me_requant(sum, op->scale.pre, op->each->mult, op->each->offset, op->each->shift);
            me_store_result(tile->y, row * results + i, op->y_wide, &op->scale, q);
        }
        ME_SYNC();
    }
}
