/* SPDX-License-Identifier: Apache-2.0 */
#include "me_elementwise.h"

#include <stdbool.h>

#include "me_elementwise_rows.h"
#include "me_math.h"
#include "me_share.h"
#include "me_table.h"

/* The elements of a result that this core computes: whole words of four but for the last core. */
typedef struct {
    int32_t first, last;
} me_part;

static me_part part_of(int32_t n)
{
    const int32_t words = (n + 3) / 4, last = 4 * ME_LAST(words);
    return (me_part){ 4 * ME_FIRST(words), last < n ? last : n };
}

void me_table_run(const int8_t *table, const int8_t *x, int8_t *y, int32_t n)
{
    const me_part part = part_of(n);
    me_table_row(table, x + part.first, y + part.first, part.last - part.first);
}

/* ---- pairs */

/* n >= 1 elements; a_step and b_step 0 or 1 */
typedef void me_pair_row(const void *op, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                         int32_t a_step, int32_t b_step);

/* The row that comes after: every loop but the innermost counts up as far as it must. */
static void next_row(const me_pair *tile, int32_t *index, const int8_t **a, const int8_t **b)
{
    for (int32_t d = tile->loops - 2; d >= 0; d--) {
        *a += tile->a_step[d];
        *b += tile->b_step[d];
        if (++index[d] < tile->extent[d])
            return;
        *a -= tile->a_step[d] * index[d];
        *b -= tile->b_step[d] * index[d];
        index[d] = 0;
    }
}

static int32_t elements(const me_pair *tile)
{
    int32_t n = 1;
    for (int32_t d = 0; d < tile->loops; d++)
        n *= tile->extent[d];
    return n;
}

/* Shares the elements, not the rows, so that any shape is balanced. */
static void each_row(const me_pair *tile, me_pair_row *row, const void *op, const int8_t *table)
{
    const me_part part = part_of(elements(tile));
    const int32_t inner = tile->loops - 1, width = tile->extent[inner];
    const int32_t a_step = tile->a_step[inner], b_step = tile->b_step[inner];
    const int8_t *a = tile->a, *b = tile->b;
    int32_t index[ME_LOOPS];
    int32_t left = part.last - part.first, row_number = part.first / width;
    int32_t column = part.first - row_number * width;
    if (left <= 0)
        return;
    for (int32_t d = inner - 1; d >= 0; d--) {
        index[d] = row_number % tile->extent[d];
        row_number /= tile->extent[d];
        a += index[d] * tile->a_step[d];
        b += index[d] * tile->b_step[d];
    }
    for (int8_t *y = tile->y + part.first; left > 0; column = 0) {
        const int32_t n = width - column < left ? width - column : left;
        row(op, a + column * a_step, b + column * b_step, y, n, a_step, b_step);
        y += n;
        left -= n;
        next_row(tile, index, &a, &b);
    }
    if (table)
        me_table_row(table, tile->y + part.first, tile->y + part.first, part.last - part.first);
}

/* The row x; where it is one number, step 0, a word of it. */
static const int8_t *word_or_row(const int8_t *x, int32_t step, int8_t word[4])
{
    for (int32_t i = 0; step == 0 && i < 4; i++)
        word[i] = *x;
    return step == 0 ? word : x;
}

static bool fits_8(int32_t x) { return x >= -128 && x <= 127; }

static void add_row(const void *operator, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                    int32_t a_step, int32_t b_step)
{
    const me_add *op = operator;
    const int32_t words = n / 4;
    _Alignas(4) int8_t same_a[4], same_b[4];
    const int8_t *from_a = word_or_row(a, a_step, same_a), *from_b = word_or_row(b, b_step, same_b);
    if (words > 0)
        (fits_8(op->a_mult) && fits_8(op->b_mult) ? me_add_words_8 : me_add_words)(
            op, from_a, from_b, y, words, 4 * a_step, 4 * b_step);
    for (int32_t i = 4 * words; i < n; i++) {
        const int32_t sum = me_mac(op->offset, a[i * a_step], op->a_mult);
        y[i] = me_clip(me_mac(sum, b[i * b_step], op->b_mult) >> op->shift, op->scale.low, op->scale.high);
    }
}

void me_add_run(const me_add *op, const me_pair *tile) { each_row(tile, add_row, op, op->scale.table); }

static void mul_row(const void *operator, const int8_t *a, const int8_t *b, int8_t *y, int32_t n,
                    int32_t a_step, int32_t b_step)
{
    const me_mul *op = operator;
    const me_scale *scale = &op->scale;
    const int32_t words = n / 4;
    _Alignas(4) int8_t same_a[4], same_b[4];
    const int8_t *from_a = word_or_row(a, a_step, same_a), *from_b = word_or_row(b, b_step, same_b);
    if (words > 0)
        me_mul_words(op, from_a, from_b, y, words, 4 * a_step, 4 * b_step);
    for (int32_t i = 4 * words; i < n; i++) {
        const int32_t acc = (a[i * a_step] - op->a_zero) * (b[i * b_step] - op->b_zero);
        y[i] = me_clip(me_requant(acc, scale->pre, op->mult, op->offset, op->shift), scale->low, scale->high);
    }
}

void me_mul_run(const me_mul *op, const me_pair *tile) { each_row(tile, mul_row, op, op->scale.table); }

/* ---- channels */

static void prelu_row(const me_affine *op, const me_channel *below, const int8_t *x, int8_t *y,
                      int32_t n, int32_t step)
{
    const me_channel *above = op->each + op->channels;
    for (int32_t i = 0; i < n; i++, below += step) {
        const me_channel *c = x[i] < op->x_zero ? below : above;
        y[i] = me_clip(me_mac(c->offset, x[i], c->mult) >> c->shift, op->scale.low, op->scale.high);
    }
}

/* n elements of one channel */
static void run_of(const me_affine *op, const me_channel *c, const int8_t *x, int8_t *y, int32_t n)
{
    const me_add alone = { c->mult, 0, c->offset, c->shift, op->scale };
    if (op->x_zero < 128)
        prelu_row(op, c, x, y, n, 0);
    else
        add_row(&alone, x, x, y, n, 1, 1);
}

static void row_of_channels(const me_affine *op, const me_channel *c, const int8_t *x, int8_t *y, int32_t n)
{
    if (op->x_zero < 128)
        prelu_row(op, c, x, y, n, 1);
    else
        me_affine_row(c, &op->scale, x, y, n);
}

void me_affine_run(const me_affine *op, const int8_t *x, int8_t *y)
{
    const int32_t width = op->inner == 1 ? op->channels : op->inner;
    const me_part part = part_of(op->outer * op->channels * op->inner);
    int32_t column = part.first % width;
    int32_t c = part.first / width % op->channels;
    for (int32_t at = part.first; at < part.last; column = 0) {
        const int32_t left = part.last - at;
        const int32_t n = width - column < left ? width - column : left;
        if (op->inner == 1)
            row_of_channels(op, op->each + column, x + at, y + at, n);
        else
            run_of(op, op->each + c, x + at, y + at, n);
        at += n;
        c = c + 1 < op->channels ? c + 1 : 0;
    }
    if (op->scale.table && part.last > part.first)
        me_table_row(op->scale.table, y + part.first, y + part.first, part.last - part.first);
}

/* ---- sums of 16 bits */

static const int8_t *further(const void *x, int32_t n, int32_t wide)
{
    return (const int8_t *)x + (wide ? 2 * n : n);
}

void me_wide_sum_run(const me_wide_sum *op, const me_wide_sum_tile *tile)
{
    const int32_t width = tile->n, all = tile->rows * width, cores = ME_TEAM(op->helped);
    const int32_t last = ME_LAST_OF(cores, all);
    for (int32_t at = ME_FIRST_OF(cores, all), n; at < last; at += n) {
        const int32_t row = at / width, column = at - row * width;
        n = width - column < last - at ? width - column : last - at;
        me_wide_row(op, further(tile->a, row * tile->a_row + column, op->a_wide),
                    further(tile->b, row * tile->b_row + column, op->b_wide),
                    (int8_t *)tile->y + (op->y_wide ? 2 * at : at), n);
    }
}
