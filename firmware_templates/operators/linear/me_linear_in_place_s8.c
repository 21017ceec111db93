/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include "me_math.h"
#include "me_share.h"

/* Adds the products of a row with up to four channels; a row may start at any address. */
static void add_row(const int8_t *x, const int8_t *weights, int32_t c, int32_t channels, int32_t *sum)
{
    int32_t words = c / 4;
    if (channels == 4) {
        int32_t first = sum[0], second = sum[1], third = sum[2], fourth = sum[3];
        for (; words > 0; words--) {
            const uint32_t taps = me_next_w(&x);
            first = me_sdotsp_b(first, taps, me_next_w(&weights));
            second = me_sdotsp_b(second, taps, me_next_w(&weights));
            third = me_sdotsp_b(third, taps, me_next_w(&weights));
            fourth = me_sdotsp_b(fourth, taps, me_next_w(&weights));
        }
        sum[0] = first, sum[1] = second, sum[2] = third, sum[3] = fourth;
    }
    for (; words > 0; words--) {
        const uint32_t taps = me_next_w(&x);
        for (int32_t i = 0; i < channels; i++)
            sum[i] = me_sdotsp_b(sum[i], taps, me_next_w(&weights));
    }
    for (int32_t tap = 0; tap < c % 4; tap++)
        for (int32_t i = 0; i < channels; i++)
            sum[i] += x[tap] * weights[4 * i + tap];
}

void me_linear_in_place_s8(const me_linear_in_place_s8_params *op, const me_linear_in_place_s8_tile *tile)
{
    const me_scale *scale = &op->scale;
    const int32_t blocks = (tile->k + 3) / 4, units = tile->rows * blocks, last = ME_LAST(units);
    for (int32_t unit = ME_FIRST(units); unit < last; unit++) {
        const int32_t row = unit / blocks, first = 4 * (unit - row * blocks);
        const int32_t channels = me_min(4, tile->k - first);
        const me_channel *each = tile->channels + first;
        int8_t *y = tile->y + row * tile->y_stride + first;
        int32_t sum[4];
        for (int32_t i = 0; i < channels; i++)
            sum[i] = each[i].bias;
        add_row(tile->x + row * tile->x_stride, tile->weights + first * me_gemm_row_bytes(op->c), op->c,
                channels, sum);
        for (int32_t i = 0; i < channels; i++) {
            const int32_t q = me_requant(sum[i], scale->pre, each[i].mult, each[i].offset, each[i].shift);
            const int8_t limited = me_clip(q, scale->low, scale->high);
            y[i] = scale->table ? me_lookup(scale->table, limited) : limited;
        }
    }
}
