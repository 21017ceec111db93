/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include "me_math.h"
#include "me_share.h"

#define ONES 0x01010101u

enum { ROWS = 4 }; /* rows of a column that are computed together */

/* Loads four elements, `along` bytes apart, into a word. */
static inline uint32_t load_four(const int8_t **at, int32_t along)
{
    if (along == 1)
        return me_next_w(at);
    const int32_t one = me_step_b(at, along), two = me_step_b(at, along), three = me_step_b(at, along);
    return me_pack_b(one, two, three, me_step_b(at, along));
}

/* Sum over c of (a - a_zero) * (b - b_zero); intermediate terms wrap modulo 2**32. */
static int32_t sum_of(const me_matmul_in_place_s8_params *op, const int8_t *a, const int8_t *b, int32_t along)
{
    int32_t sum = 0, of_a = 0, of_b = 0;
    for (int32_t words = op->c / 4; words > 0; words--) {
        const uint32_t x = me_next_w(&a), y = load_four(&b, along);
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

/* Limits a result to its range and looks it up in the table. */
static inline int8_t clamp_and_look_up(const me_scale *scale, int32_t q)
{
    const int8_t limited = me_clip(q, scale->low, scale->high);
    return scale->table ? me_lookup(scale->table, limited) : limited;
}

/* Computes ROWS consecutive results of a column. */
static inline void four_results(const me_matmul_in_place_s8_params *op, const int8_t *a, const int8_t *b,
                                int32_t along, int8_t *y, int32_t n)
{
    const int32_t c = op->c, pre = op->scale.pre, mult = op->mult, offset = op->offset, shift = op->shift;
    const me_scale *scale = &op->scale;
    const int8_t *a1 = a + c, *a2 = a1 + c, *a3 = a2 + c;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, of_b = 0;
    const uint32_t zeros = 0x01010101u * (uint8_t)op->b_zero;
    int32_t of0 = 0, of1 = 0, of2 = 0, of3 = 0;
    for (int32_t words = c / 4; words > 0; words--) {
        const uint32_t y4 = load_four(&b, along), x0 = me_next_w(&a), x1 = me_next_w(&a1),
                       x2 = me_next_w(&a2), x3 = me_next_w(&a3);
        of_b = me_sdotsp_b(of_b, y4, ONES);
        sum0 = me_sdotsp_b(sum0, x0, y4);
        sum1 = me_sdotsp_b(sum1, x1, y4);
        sum2 = me_sdotsp_b(sum2, x2, y4);
        sum3 = me_sdotsp_b(sum3, x3, y4);
        of0 = me_sdotsp_b(of0, x0, zeros);
        of1 = me_sdotsp_b(of1, x1, zeros);
        of2 = me_sdotsp_b(of2, x2, zeros);
        of3 = me_sdotsp_b(of3, x3, zeros);
    }
    for (int32_t left = c % 4; left > 0; left--) {
        const int32_t right = me_step_b(&b, along), centred = right - op->b_zero;
        of_b += right;
        sum0 = me_mac(sum0, me_step_b(&a, 1), centred);
        sum1 = me_mac(sum1, me_step_b(&a1, 1), centred);
        sum2 = me_mac(sum2, me_step_b(&a2, 1), centred);
        sum3 = me_mac(sum3, me_step_b(&a3, 1), centred);
    }
    const int32_t rest = op->a_zero * (op->b_zero * c - of_b);
    y[0] = clamp_and_look_up(scale, me_requant(sum0 - of0 + rest, pre, mult, offset, shift));
    y[n] = clamp_and_look_up(scale, me_requant(sum1 - of1 + rest, pre, mult, offset, shift));
    y[2 * n] = clamp_and_look_up(scale, me_requant(sum2 - of2 + rest, pre, mult, offset, shift));
    y[3 * n] = clamp_and_look_up(scale, me_requant(sum3 - of3 + rest, pre, mult, offset, shift));
}

/* Position in the results: consecutive rows of one column. Addresses of their first row of a, of their
 * column of b and of their first result; numbers of remaining columns and rows in the product. */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t columns, rows;
} place;

static int32_t rows_at(const place *at) { return at->rows < ROWS ? at->rows : ROWS; }

static place place_of(const me_matmul_in_place_s8_params *op, const me_matmul_in_place_s8_tile *tile,
                      int32_t across, int32_t unit)
{
    const int32_t blocks = (tile->m + ROWS - 1) / ROWS;
    const int32_t above = unit / tile->n, column = unit - above * tile->n;
    const int32_t batch = above / blocks, row = ROWS * (above - batch * blocks);
    return (place){ tile->a + batch * tile->a_step + row * op->c,
                    tile->b + batch * tile->b_step + column * across,
                    tile->y + (batch * tile->m + row) * tile->n + column, tile->n - column, tile->m - row };
}

/* Advances to the next column, or to the first column of the next rows or of the next product. */
static inline void advance(const me_matmul_in_place_s8_params *op, const me_matmul_in_place_s8_tile *tile,
                           int32_t across, place *at)
{
    at->b += across;
    at->y++;
    if (--at->columns > 0)
        return;
    const int32_t rows = rows_at(at);
    at->columns = tile->n;
    at->a += rows * op->c;
    at->b -= tile->n * across;
    at->y += (rows - 1) * tile->n;
    at->rows -= rows;
    if (at->rows > 0)
        return;
    at->rows = tile->m;
    at->a += tile->a_step - tile->m * op->c;
    at->b += tile->b_step;
}

void me_matmul_in_place_s8(const me_matmul_in_place_s8_params *op, const me_matmul_in_place_s8_tile *tile)
{
    const int32_t along = op->b_transposed ? 1 : tile->b_stride,
                  across = op->b_transposed ? tile->b_stride : 1;
    const int32_t units = tile->batches * ((tile->m + ROWS - 1) / ROWS) * tile->n, last = ME_LAST(units);
    place at = place_of(op, tile, across, ME_FIRST(units));
    for (int32_t unit = ME_FIRST(units); unit < last; unit++, advance(op, tile, across, &at)) {
        const int32_t rows = rows_at(&at);
        if (rows == ROWS)
            four_results(op, at.a, at.b, along, at.y, tile->n);
        else
            for (int32_t row = 0; row < rows; row++) {
                const int32_t acc = sum_of(op, at.a + row * op->c, at.b, along);
                const int32_t q = me_requant(acc, op->scale.pre, op->mult, op->offset, op->shift);
                at.y[row * tile->n] = clamp_and_look_up(&op->scale, q);
            }
    }
}
