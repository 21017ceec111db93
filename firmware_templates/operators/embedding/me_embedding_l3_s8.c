/* SPDX-License-Identifier: Apache-2.0 */
#include "me_embedding.h"

#include "me_share.h"

#ifdef ME_GAP9

static uint32_t fetch(uint32_t l3, int8_t *to, int32_t bytes)
{
    return me_l3_start(l3, to, (uint32_t)bytes, ME_L3_TO_L2);
}

#else

const void *me_embedding_l3;

static void me_l3_wait(uint32_t ticket) { (void)ticket; }

static uint32_t fetch(uint32_t l3, int8_t *to, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; i++)
        to[i] = ((const int8_t *)me_embedding_l3)[l3 + (uint32_t)i];
    return 0;
}

#endif

/* Packs the rows in place, from the last to the first: each was loaded to the word in which it begins, and
 * is moved to its first byte, without changing the rows after it. */
void me_embedding_l3_s8(const me_embedding_l3_s8_params *op, const me_embedding_l3_s8_tile *tile)
{
#ifdef ME_GAP9
    if (!ME_IS_CONTROL_CORE())
        return;
#endif
    const me_embedding_rows rows = op->rows;
    const uint32_t stride = ((uint32_t)rows.width + 3) & ~3u;
    uint32_t ticket = 0;
    for (int32_t i = tile->n - 1; i >= 0; i--) {
        const int32_t at = i * rows.width, apart = at & 3;
        int8_t *to = tile->y + at - apart;
        ticket = fetch(op->l3 + (uint32_t)me_row_of(&rows, tile->ids, i) * stride, to, rows.width);
        if (apart)
            me_l3_wait(ticket);
        for (int32_t k = apart ? rows.width - 1 : -1; k >= 0; k--)
            to[k + apart] = to[k];
    }
    me_l3_wait(ticket);
}
