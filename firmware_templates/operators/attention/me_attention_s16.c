/* SPDX-License-Identifier: Apache-2.0 */
#include "me_attention_s16.h"

#include "me_attention_s16_rows.h"
#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"

/* Divides a row's sums: y = ((sum >> down) * factor) >> ..; see share in me_attention_s16_params. */
typedef struct {
    int32_t down, factor;
} row_divisor;

typedef struct {
    int32_t first, end;
} span;

/* A tile with its operands converted to int16.
 * row     32-bit values per row in scratch
 * filled  number of keys, rounded up to whole words
 * groups  number of groups of four rows */
typedef struct {
    const me_attention_s16_params *op;
    const me_attention_s16_tile *tile;
    const int16_t *q, *k, *v;
    int32_t *rows;
    row_divisor *divisors;
    int32_t row, filled, groups;
} attention_work;

/* The keys [first, end) that a row attends to. */
static span seen_by(const attention_work *w, int32_t row)
{
    const int32_t at = w->tile->first_row + row;
    return (span){ me_max(at - w->op->before, 0), me_min(at + w->op->after + 1, w->op->keys) };
}

/* The keys that any row of a group of four attends to, extended to multiples of 4. */
static span seen_by_group(const attention_work *w, int32_t group)
{
    const int32_t first = seen_by(w, 4 * group).first, last = me_min(4 * group + 3, w->tile->rows - 1);
    return (span){ first & ~3, (seen_by(w, last).end + 3) & ~3 };
}

/* The intersection of `keys` with the n keys from `first` on. */
static span intersect(span keys, int32_t first, int32_t n)
{
    const int32_t from = me_max(keys.first, first);
    return (span){ from, me_max(me_min(keys.end, first + ((n + 3) & ~3)), from) };
}

static int32_t *row_of(const attention_work *w, int32_t head, int32_t row)
{
    return w->rows + (head * 4 * w->groups + row) * w->row;
}

/* Sets pointers to four rows starting at `first`; if there are fewer, the last row is repeated. */
static void four_rows(const int8_t *rows[4], const int16_t *x, int32_t first, int32_t last, int32_t stride)
{
    for (int32_t i = 0; i < 4; i++)
        rows[i] = (const int8_t *)(x + me_min(first + i, last) * stride);
}

/* ---- scores of a group of rows and keys [first, last), which are multiples of 4 */

static void score_blocks(const attention_work *w, int32_t head, int32_t group, int32_t first, int32_t last)
{
    const int32_t width = w->op->width, stride = w->tile->heads * width, keys = w->tile->keys;
    const int32_t start = w->tile->first_key, whole = me_min(last, start + (keys & ~3));
    me_products of = { .b_step = 8 * stride, .y_stride = 4 * w->row, .words = width / 2 };
    of.turn = ME_FIRST_OF(ME_KERNEL_CORES(0), of.words);
    of.y = row_of(w, head, 4 * group) + first;
    four_rows(of.a, w->q + head * width + 2 * of.turn, 4 * group, w->tile->rows - 1, stride);
    const int16_t *const k = w->k + head * width + 2 * of.turn;
    of.blocks = (whole - first) / 4;
    if (of.blocks > 0) {
        four_rows(of.b, k, first - start, keys - 1, stride);
        me_products_halves(&of);
        of.y += 4 * of.blocks;
    }
    if (last > whole) {
        of.blocks = 1;
        four_rows(of.b, k, whole - start, keys - 1, stride);
        me_products_halves(&of);
    }
}

/* ---- exponentials, two per word, which replace the scores */

static void add_bias(const attention_work *w, int32_t *x, int32_t at, span keys)
{
    const me_attention_s16_params *op = w->op;
    for (int32_t key = keys.first; key < keys.end; key++)
        x[key] += me_load_wide(w->tile->bias, at + key, op->bias_wide) * op->bias_mult >> op->bias_shift;
}

/* Whether a mask leaves at least one key of a row. If not, the row is treated as unmasked: its scores are
 * unchanged, or 0 if `flat`. */
static int32_t has_unmasked_keys(const int8_t *mask, int32_t *x, span keys, int32_t flat)
{
    for (int32_t key = keys.first; key < keys.end; key++)
        if (mask[key] >= 0)
            return 1;
    for (int32_t key = keys.first; flat && key < keys.end; key++)
        x[key] = 0;
    return 0;
}

static int32_t largest_of(const int32_t *x, const int8_t *mask, span keys)
{
    int32_t largest = -INT32_MAX;
    for (int32_t key = keys.first; key < keys.end; key++)
        if (mask[key] >= 0)
            largest = me_max(largest, x[key]);
    return largest;
}

static uint32_t exponentiate(const me_attention_s16_params *op, int32_t *x, span keys, int32_t largest)
{
    const me_row_entries by = {
        largest, op->distance_drop, (uint32_t)op->most, (uint32_t)op->mult, op->exp.near, op->exp.far,
    };
    return me_row_exponentials_h(x + keys.first, keys.end - keys.first, &by);
}

/* Replaces the scores of unmasked keys by exponentials, the scores of masked keys by 0. */
static uint32_t mask_and_exponentiate(const me_attention_s16_params *op, int32_t *x, const int8_t *mask,
                                      span keys)
{
    const int32_t largest = largest_of(x, mask, keys);
    uint32_t sum = 0;
    for (int32_t key = keys.first; key < keys.end; key++)
        if (mask[key] < 0)
            x[key] = largest;
    (void)exponentiate(op, x, keys, largest);
    for (int32_t key = keys.first; key < keys.end; key++) {
        x[key] = mask[key] < 0 ? 0 : x[key];
        sum += (uint32_t)x[key];
    }
    return sum;
}

static void exponentials(const attention_work *w, int32_t head, int32_t row)
{
    const me_attention_s16_params *op = w->op;
    const me_attention_s16_tile *tile = w->tile;
    const span keys = seen_by(w, row), all = seen_by_group(w, row / 4);
    int32_t *x = row_of(w, head, row);
    const int8_t *mask = tile->mask ? tile->mask + head * tile->mask_step + row * op->keys : 0;
    if (tile->bias)
        add_bias(w, x, head * tile->bias_step + row * op->keys, keys);
    uint32_t sum;
    if (mask && has_unmasked_keys(mask, x, keys, op->flat))
        sum = mask_and_exponentiate(op, x, mask, keys);
    else
        sum = exponentiate(op, x, keys, me_row_most(x + keys.first, keys.end - keys.first));
    for (int32_t key = all.first; key < keys.first; key++)
        x[key] = 0;
    for (int32_t key = keys.end; key < all.end; key++)
        x[key] = 0;
    const int32_t drop = me_max(me_fl1(sum) - 18, 0);
    sum = me_row_packed(x + all.first, x + all.first / 2, (all.end - all.first) / 2, drop);
    const int32_t top = me_fl1(sum);
    const uint32_t mantissa = top > 15 ? sum >> (top - 15) : sum << (15 - top);
    w->divisors[head * 4 * w->groups + row] =
        (row_divisor){ top - 14, (int32_t)((uint32_t)op->share / mantissa) };
}

/* ---- sums of values, requantised after the last part of the values */

static void scale_row(const attention_work *w, int32_t head, int32_t row, int32_t first, int32_t last)
{
    const me_attention_s16_params *op = w->op;
    const row_divisor divisor = w->divisors[head * 4 * w->groups + row];
    const int32_t half = (1 << op->out_shift) >> 1;
    const me_row_scale by = {
        divisor.down, divisor.factor, half, op->out_shift, op->zero, op->low, op->high
    };
    const int32_t *sums = row_of(w, head, row) + w->filled / 2 + first;
    const int32_t at = (row * w->tile->heads + head) * op->out_width + first;
    if (op->y_wide)
        me_row_scaled_halves(sums, (int16_t *)w->tile->y + at, last - first, &by);
    else
        me_row_scaled_bytes(sums, (int8_t *)w->tile->y + at, last - first, &by);
}

/* Sums columns [first, last), multiples of 4, for a group of rows. */
static void value_blocks(const attention_work *w, int32_t head, int32_t group, int32_t first, int32_t last)
{
    const me_attention_s16_tile *tile = w->tile;
    const span all = seen_by_group(w, group), keys = intersect(all, tile->first_value, tile->values);
    const int32_t columns = w->op->out_width;
    me_products of = { .b_step = 8 * tile->values,
                       .y_stride = 4 * w->row,
                       .words = (keys.end - keys.first) / 2 };
    if (of.words > 0 && first < last) {
        const int16_t *const v = w->v + head * columns * tile->values + keys.first - tile->first_value;
        const int16_t *const e = (const int16_t *)(const void *)(row_of(w, head, 0) + keys.first / 2);
        four_rows(of.a, e, 4 * group, tile->rows - 1, 2 * w->row);
        four_rows(of.b, v, first, columns - 1, tile->values);
        of.blocks = (last - first) / 4;
        of.add = keys.first > all.first;
        of.y = row_of(w, head, 4 * group) + w->filled / 2 + first;
        me_products_halves(&of);
    }
    if (tile->first_value + tile->values < w->filled)
        return;
    for (int32_t row = 4 * group; first < last && row < me_min(4 * group + 4, tile->rows); row++)
        scale_row(w, head, row, first, last);
}

/* ---- work items of the cores: groups of rows, head by head; quarters of their keys or columns if there
 * are few groups */

static void scores_and_values(const attention_work *w, int32_t is_score)
{
    const int32_t groups = w->tile->heads * w->groups, parts = groups < 24 ? 4 : 1,
                  cores = ME_KERNEL_CORES(0);
    for (int32_t core = ME_FIRST_PART(cores); core < ME_END_PART(cores); core++)
        for (int32_t unit = core; unit < groups * parts; unit += cores) {
            const int32_t number = unit / parts, part = unit - number * parts;
            const int32_t head = number / w->groups, group = number - head * w->groups;
            const span keys = intersect(seen_by_group(w, group), w->tile->first_key, w->tile->keys);
            const span all = is_score ? keys : (span){ 0, w->op->out_width };
            const int32_t n = (all.end - all.first) / 4;
            const int32_t first = all.first + n * part / parts * 4,
                          last = all.first + n * (part + 1) / parts * 4;
            if (is_score)
                score_blocks(w, head, group, first, last);
            else
                value_blocks(w, head, group, first, last);
        }
}

static void all_exponentials(const attention_work *w)
{
    const int32_t rows = w->tile->rows, n = w->tile->heads * rows, cores = ME_KERNEL_CORES(0);
    for (int32_t core = ME_FIRST_PART(cores); core < ME_END_PART(cores); core++)
        for (int32_t number = core; number < n; number += cores)
            exponentials(w, number / rows, number % rows);
}

/* Converts n values to int16, minus their zero point and shifted right with rounding. -> x itself if
 * nothing changes, otherwise a copy at *own, which advances by n */
static const int16_t *as_int16(const void *x, int32_t wide, int32_t zero, int32_t drop, int32_t n,
                               int16_t **own)
{
    int16_t *const to = *own;
    const int32_t add = ((1 << drop) >> 1) - zero;
    if (wide && zero == 0 && drop == 0)
        return x;
    *own += n;
    const int32_t first = ME_FIRST(n / 2), pairs = ME_LAST(n / 2) - first;
    if (pairs > 0 && wide)
        me_row_of_halves((const int16_t *)x + 2 * first, to + 2 * first, pairs, add, drop);
    else if (pairs > 0)
        me_row_of_bytes((const int8_t *)x + 2 * first, to + 2 * first, pairs, add, drop);
    return to;
}

static attention_work work_of(const me_attention_s16_params *op, const me_attention_s16_tile *tile)
{
    const int32_t filled = (op->keys + 3) / 4 * 4, groups = (tile->rows + 3) / 4,
                  rows = tile->heads * 4 * groups;
    const int32_t row = me_max(filled, filled / 2 + op->out_width);
    int32_t *const at = (int32_t *)(void *)tile->scratch;
    row_divisor *const divisors = (row_divisor *)(void *)(at + rows * row);
    int16_t *own = (int16_t *)(void *)(divisors + rows);
    const int32_t width = tile->heads * op->width, of_q = tile->keys > 0 ? tile->rows * width : 0;
    const int32_t of_v = tile->heads * op->out_width * tile->values;
    const int16_t *q = as_int16(tile->q, op->q_wide, 0, op->q_drop, of_q, &own);
    const int16_t *k = as_int16(tile->k, op->k_wide, 0, op->k_drop, tile->keys * width, &own);
    const int16_t *v = as_int16(tile->v, op->v_wide, op->v_zero, op->v_drop, of_v, &own);
    return (attention_work){ op, tile, q, k, v, at, divisors, row, filled, groups };
}

void me_attention_s16(const me_attention_s16_params *op, const me_attention_s16_tile *tile)
{
    const attention_work w = work_of(op, tile);
    ME_SYNC();
    if (tile->keys > 0) {
        scores_and_values(&w, 1);
        if (tile->first_key + tile->keys == op->keys) {
            ME_SYNC();
            all_exponentials(&w);
            ME_SYNC();
        }
    }
    if (tile->values > 0)
        scores_and_values(&w, 0);
}
