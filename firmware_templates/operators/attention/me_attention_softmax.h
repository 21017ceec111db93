/* SPDX-License-Identifier: Apache-2.0
 * The part of attention between its two products: exponentials that replace a row's scores, and the
 * requantisation of sums of values to int8. Work of one core, in kernels whose cores share the rows. The
 * including file defines ME_EXP12: 1 for 12-bit exponentials, 0 for 8-bit exponentials.
 */
#ifndef ME_ATTENTION_SOFTMAX_H
#define ME_ATTENTION_SOFTMAX_H

#include "me_attention.h"
#include "me_attention_rows.h"
#include "me_math.h"
#include "me_share.h"

enum { ME_EXP12_ENTRIES = 4096 };

/* Bytes of a row in scratch. The scores come first; the exponentials replace them, followed by the int32
 * sums of values. 12-bit exponentials are split: lower bytes come first, followed by the sums of lower and
 * of upper bytes; the upper bytes are at the end of the row. */
static inline int32_t me_attention_row_bytes(int32_t keys, int32_t out_width)
{
    const int32_t filled = (keys + 3) / 4 * 4, with_sums = filled + (ME_EXP12 ? 8 : 4) * out_width;
    return (4 * filled > with_sums ? 4 * filled : with_sums) + (ME_EXP12 ? filled : 0);
}

/* Bytes of scratch for one head. */
static inline int32_t me_attention_scratch_bytes(const me_attention_s8_params *op, int32_t rows)
{
    return (rows + 3) / 4 * 4 * (me_attention_row_bytes(op->keys, op->out_width) + 8);
}

/* Divides a row's sums: y = (((sum >> down) * factor) + offset) >> out_shift. */
typedef struct {
    int32_t down, factor;
} me_row_divisor;

/* The keys [first, end) that some rows attend to, in whole words of exponentials. */
typedef struct {
    int32_t first, end;
} me_key_span;

/* Rows of a tile, as the cores share them.
 * divisors  one per row
 * row       bytes per row in scratch
 * filled    number of keys, rounded up to whole words
 * cores     number of cores that share the rows */
typedef struct {
    const me_attention_s8_params *op;
    const me_attention_s8_tile *tile;
    me_row_divisor *divisors;
    int32_t row, filled, cores;
} me_attention_work;

static inline int32_t me_first_key(const me_attention_work *w, int32_t row)
{
    return me_max(w->tile->first_row + row - w->op->before, 0);
}

static inline int32_t me_end_key(const me_attention_work *w, int32_t row)
{
    return me_min(w->tile->first_row + row + w->op->after + 1, w->op->keys);
}

static inline me_key_span me_seen_keys(const me_attention_work *w, int32_t group)
{
    const int32_t last = me_min(4 * group + 3, w->tile->rows - 1);
    return (me_key_span){ me_first_key(w, 4 * group) & ~3, (me_end_key(w, last) + 3) & ~3 };
}

static inline int8_t *me_scores_row(const me_attention_work *w, int32_t row)
{
    return w->tile->scratch + row * w->row;
}

/* -> the upper bytes of a row's 12-bit exponentials */
static inline uint8_t *me_upper_bytes(const me_attention_work *w, int32_t row)
{
    return (uint8_t *)me_scores_row(w, row) + w->row - w->filled;
}

/* Masks keys: subtracts 2^29 from their scores. If all keys of a row are masked, the scores keep their
 * order, or become 0 if `flat`. */
static __attribute__((noinline, unused)) void me_mask_keys(const me_attention_s8_params *op, int32_t *x,
                                                           const int8_t *mask, int32_t n)
{
    me_row_masked(x, mask, n);
    if (op->flat && me_row_most(x, n) < -(1 << 28))
        for (int32_t i = 0; i < n; i++)
            x[i] = 0;
}

/* Adds bias and mask to a row's scores. Returns the largest score + half, from which the distances are
 * measured. */
static inline int32_t me_top_score(const me_attention_work *w, int32_t row, int32_t first, int32_t end)
{
    const me_attention_s8_params *op = w->op;
    int32_t *x = (int32_t *)(void *)me_scores_row(w, row);
    const int8_t *bias = w->tile->bias ? w->tile->bias + row * op->keys + first : 0;
    if (bias && op->bias_mult)
        me_row_biased(x + first, bias, end - first, op->bias_mult, op->bias_shift);
    if (w->tile->mask)
        me_mask_keys(op, x + first, w->tile->mask + row * op->keys + first, end - first);
    return me_row_most(x + first, end - first) + op->half;
}

/* Sets the exponentials of keys to 0 that other rows of the group attend to, but not this row. */
static inline void me_clear_exponentials(uint8_t *to, me_key_span keys, int32_t first, int32_t end)
{
    for (int32_t i = keys.first; i < first; i++)
        to[i] = 0;
    for (int32_t i = end; i < keys.end; i++)
        to[i] = 0;
}

static inline void me_set_divisor(const me_attention_work *w, int32_t row, uint32_t sum)
{
    const int32_t high = me_fl1(sum);
    const uint32_t mantissa = high <= 15 ? sum << (15 - high) : sum >> (high - 15);
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a row has a sum of 1 at least */
    w->divisors[row] = (me_row_divisor){ high - 7, (int32_t)((uint32_t)w->op->share / mantissa) };
}

/* Computes 12-bit exponentials. Scores beyond the table read zeros after its end, at an address per core,
 * so that cores access different banks. */
static inline void me_exponentials_12(const me_attention_work *w, int32_t row)
{
    const me_attention_s8_params *op = w->op;
    const me_key_span keys = me_seen_keys(w, row / 4);
    const int32_t first = me_first_key(w, row), end = me_end_key(w, row);
    const int32_t *x = (const int32_t *)(const void *)me_scores_row(w, row);
    uint8_t *to = (uint8_t *)me_scores_row(w, row), *upper = me_upper_bytes(w, row);
    const int32_t top = me_top_score(w, row, first, end), most = op->most + 4 * ME_CORE() * op->units;
    const me_exp12_entries by = { top, most, op->mult, op->shift, op->exp, op->exp + ME_EXP12_ENTRIES };
    const int32_t whole = me_min((first + 3) & ~3, end), rest = me_max(end & ~3, whole);
    uint32_t sum = 0;
    if (whole > first)
        sum += me_row_exponentials_12(x + first, to + first, upper + first, whole - first, &by);
    if (rest > whole)
        sum += me_row_exponentials_12_fours(x + whole, to + whole, upper + whole, (rest - whole) / 4, &by);
    if (end > rest)
        sum += me_row_exponentials_12(x + rest, to + rest, upper + rest, end - rest, &by);
    me_clear_exponentials(to, keys, first, end);
    me_clear_exponentials(upper, keys, first, end);
    me_set_divisor(w, row, sum);
}

static inline void me_exponentials_8(const me_attention_work *w, int32_t row)
{
    const me_attention_s8_params *op = w->op;
    const me_key_span keys = me_seen_keys(w, row / 4);
    const int32_t first = me_first_key(w, row), end = me_end_key(w, row);
    const int32_t *x = (const int32_t *)(const void *)me_scores_row(w, row);
    uint8_t *to = (uint8_t *)me_scores_row(w, row);
    const int32_t top = me_top_score(w, row, first, end);
    int32_t at = first;
    uint32_t sum = 0;
    for (; at < end && at & 3; at++)
        sum += to[at] = op->exp[me_min(top - x[at], op->most) * op->mult >> op->shift];
    if (end - at >= 4)
        sum +=
            me_row_exponentials(x + at, to + at, (end - at) / 4, top, op->most, op->mult, op->shift, op->exp);
    at += (end - at) & ~3;
    for (; at < end; at++)
        sum += to[at] = op->exp[me_min(top - x[at], op->most) * op->mult >> op->shift];
    me_clear_exponentials(to, keys, first, end);
    me_set_divisor(w, row, sum);
}

static inline void me_exponentials(const me_attention_work *w, int32_t row)
{
    if (ME_EXP12)
        me_exponentials_12(w, row);
    else
        me_exponentials_8(w, row);
}

/* Requantises a row's sums to int16. noinline, because int8 results are the usual case. */
static __attribute__((noinline, unused)) void me_scale_row_s16(const int32_t *sums, int16_t *y, int32_t n,
                                                               me_row_divisor by,
                                                               const me_attention_s8_params *op)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = (int16_t)me_clips(((sums[i] >> by.down) * by.factor + op->offset) >> op->out_shift, 16);
}

/* Requantises columns [4 * first, 4 * last) of a row. */
static inline void me_scale_row(const me_attention_work *w, int32_t row, int32_t first, int32_t last)
{
    const me_attention_s8_params *op = w->op;
    const me_row_divisor by = w->divisors[row];
    int32_t *sums = (int32_t *)(void *)(me_scores_row(w, row) + w->filled) + 4 * first;
    if (ME_EXP12)
        me_row_joined(sums, sums + op->out_width, 4 * (last - first), 1 << by.down >> 1);
    int8_t *y = w->tile->y + ((row * w->tile->heads * op->out_width + 4 * first) << op->y_wide);
    if (op->y_wide)
        me_scale_row_s16(sums, (int16_t *)(void *)y, 4 * (last - first), by, op);
    else
        me_row_scaled(sums, y, last - first, by.down, by.factor, op->offset, op->out_shift);
}

#endif
