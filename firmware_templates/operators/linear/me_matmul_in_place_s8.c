/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include "me_math.h"
#include "me_share.h"

#define ONES 0x01010101u

/* Four elements, `along` bytes apart. */
static uint32_t four(const int8_t **at, int32_t along)
{
    if (along == 1)
        return me_next_w(at);
    const int32_t one = me_step_b(at, along), two = me_step_b(at, along), three = me_step_b(at, along);
    return me_pack_b(one, two, three, me_step_b(at, along));
}

/* Sum over c of (a - a_zero) * (b - b_zero); parts of it are taken modulo 2**32. */
static int32_t sum_of(const me_matmul_s8_params *op, const int8_t *a, const int8_t *b, int32_t along)
{
    int32_t sum = 0, of_a = 0, of_b = 0;
    for (int32_t words = op->c / 4; words > 0; words--) {
        const uint32_t x = me_next_w(&a), y = four(&b, along);
        sum = me_sdotsp_b(sum, x, y);
        of_a = me_sdotsp_b(of_a, x, ONES);
        of_b = me_sdotsp_b(of_b, y, ONES);
    }
    for (int32_t left = op->c % 4; left > 0; left--) {
        const int32_t x = me_step_b(&a, 1), y = me_step_b(&b, along);
        sum += x * y;
        of_a += x;
        of_b += y;
    }
    sum = me_msu(me_msu(sum, op->b_zero, of_a), op->a_zero, of_b);
    return me_mac(sum, op->a_zero * op->b_zero, op->c);
}

void me_matmul_in_place_s8(const me_matmul_in_place_s8_params *op, const me_matmul_in_place_s8_tile *tile)
{
    const me_scale *scale = &op->scale;
    const int32_t along = op->b_transposed ? 1 : tile->b_stride,
                  across = op->b_transposed ? tile->b_stride : 1;
    const int32_t units = tile->m * tile->n, last = ME_LAST(units);
    for (int32_t unit = ME_FIRST(units); unit < last; unit++) {
        const int32_t row = unit / tile->n, column = unit - row * tile->n;
        const int32_t acc = sum_of(op, tile->a + row * tile->a_stride, tile->b + column * across, along);
        const int32_t q = me_requant(acc, scale->pre, op->mult, op->offset, op->shift);
        const int8_t limited = me_clip(q, scale->low, scale->high);
        tile->y[row * tile->y_stride + column] = scale->table ? me_lookup(scale->table, limited) : limited;
    }
}
