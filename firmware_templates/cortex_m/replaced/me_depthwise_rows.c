/* SPDX-License-Identifier: Apache-2.0
 * me_depthwise_rows.h for Cortex-M: sums of several results, and then their results.
 */
#include "me_depthwise_rows.h"

#include <stdbool.h>

#include "me_depthwise_dsp.h"
#include "me_depthwise_mve.h"
#include "me_math.h"

#define ME_INLINE static inline __attribute__((always_inline))

/* From sums to results. plain: limits of int8, pre 0, no table */
typedef struct {
    int32_t pre, low, high;
    const int8_t *zero;
    bool plain;
} me_limits;

ME_INLINE me_limits limits_of(int32_t pre, int32_t low, int32_t high, const int8_t *zero)
{
    return (me_limits){ pre, low, high, zero, pre == 0 && low == -128 && high == 127 && !zero };
}

ME_INLINE int32_t saturated(int32_t value)
{
#ifdef __ARM_FEATURE_SIMD32
    return (int32_t)__builtin_arm_ssat(value, 8); /* __ssat of GCC warns */
#else
    return me_clip8(value);
#endif
}

static int8_t scaled(int32_t acc, const me_channel *c, const me_limits *to)
{
    const int8_t q =
        me_clip(me_requant(acc + c->bias, to->pre, c->mult, c->offset, c->shift), to->low, to->high);
    return to->zero ? to->zero[q] : q;
}

/* Products and sums are modulo 2**32, so that the bias may be added after the product. */
ME_INLINE int8_t plainly(int32_t sum, int32_t mult, int32_t start, int32_t shift)
{
    return (int8_t)saturated((int32_t)((uint32_t)sum * (uint32_t)mult + (uint32_t)start) >> shift);
}

ME_INLINE int32_t start_of(const me_channel *c)
{
    return (int32_t)((uint32_t)c->bias * (uint32_t)c->mult + (uint32_t)c->offset);
}

/* Requantises n >= 1 sums of one channel. */
static void store_row(const int32_t *sums, int32_t n, const me_channel *c, const me_limits *to, int8_t *y,
                      int32_t y_step)
{
    const int32_t mult = c->mult, start = start_of(c), shift = c->shift;
    if (to->plain)
        for (; n != 0; n--, y += y_step)
            *y = plainly(*sums++, mult, start, shift);
    else
        for (; n != 0; n--, y += y_step)
            *y = scaled(*sums++, c, to);
}

/* As store_row for two rows, whose sums alternate. The lower result comes first: without a lower row both have the same
 * address. */
static void store_two(const int32_t *sums, int32_t n, const me_channel *c, const me_limits *to, int8_t *upper,
                      int8_t *lower, int32_t y_step)
{
    const int32_t mult = c->mult, start = start_of(c), shift = c->shift;
    if (to->plain)
        for (; n != 0; n--, sums += 2, upper += y_step, lower += y_step) {
            *lower = plainly(sums[1], mult, start, shift);
            *upper = plainly(sums[0], mult, start, shift);
        }
    else
        for (; n != 0; n--, sums += 2, upper += y_step, lower += y_step) {
            *lower = scaled(sums[1], c, to);
            *upper = scaled(sums[0], c, to);
        }
}

/* ---- 3 x 3: a column is a word of rows for every channel */

#if !defined ME_DSP && !defined ME_MVE

ME_INLINE int32_t sum_of(const int8_t *vectors, const int8_t *weights, uint32_t turn, int32_t rows)
{
    int32_t sum = 0;
    for (int32_t s = 0; s < 3; s++)
        sum = me_sdotsp_b(sum, me_ror(me_next_w(&vectors), turn), me_step_w(&weights, 16) << rows);
    return sum;
}

#define ME_STRIP_SUMS(NAME, TURN) \
    static void NAME(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums) \
    { \
        for (int32_t i = 0; i < 2 * n; i++) \
            sums[i] = sum_of(vectors + 4 * (i >> 1), weights, TURN, 8 * (i & 1)); \
    }
ME_STRIP_SUMS(me_strip_sums, 0)
ME_STRIP_SUMS(me_turned_strip_sums, 16)

static void me_row_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    for (int32_t i = 0; i < n; i++)
        sums[i] = sum_of(vectors + 8 * i, weights, 0, 0);
}

#endif

/* Interleaves four channels of two rows: halves of channels 0 and 2, then of channels 1 and 3. */
typedef struct {
    uint32_t even, odd;
} me_halves;

/* The bytes 0 and 2 of a word as halves. Compilers differ in the sign of __uxtb16's numbers. */
ME_INLINE uint32_t even_bytes(uint32_t word)
{
#ifdef __ARM_FEATURE_SIMD32
    return (uint32_t)__uxtb16((__typeof__(__uxtb16(0)))word);
#else
    return word & 0x00FF00FFu;
#endif
}

ME_INLINE me_halves interleaved(uint32_t a, uint32_t b)
{
    return (me_halves){ even_bytes(a) | even_bytes(b) << 8,
                        even_bytes(me_ror(a, 8)) | even_bytes(me_ror(b, 8)) << 8 };
}

void me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                        int32_t channel_bytes, int32_t n)
{
    for (int32_t i = 0; i < n; i++, to += 4) {
        const me_halves pair = interleaved(me_step_w(&a, a_step), me_step_w(&b, b_step));
        int8_t *at[4] = { to, to + channel_bytes, to + 2 * channel_bytes, to + 3 * channel_bytes };
        me_put_h(&at[0], (int32_t)pair.even);
        me_put_h(&at[1], (int32_t)pair.odd);
        me_put_h(&at[2], (int32_t)(pair.even >> 16));
        me_put_h(&at[3], (int32_t)(pair.odd >> 16));
    }
}

enum { RESULTS = 32, COLUMNS = 2 * RESULTS + 2 }; /* at most, at once; the last column is read by nobody */

void me_depthwise_strip(const me_depthwise_two *two)
{
    const me_depthwise_two t = *two; /* stores of results do not change it */
    const me_limits to = limits_of(t.pre, t.low, t.high, t.zero);
    const int32_t all = 3 * t.thirds + t.rest;
    int32_t sums[2 * RESULTS];
    for (int32_t first = 0; first < all; first += RESULTS) {
        const int32_t n = me_min(all - first, RESULTS), at = first * t.y_step;
        const int8_t *vectors = t.vectors + 4 * first;
        for (int32_t j = 0; j < 4; j++, vectors += t.channel_bytes) {
            (t.turn ? me_turned_strip_sums : me_strip_sums)(vectors, t.weights + 4 * j, n, sums);
            store_two(sums, n, t.channels + j, &to, t.upper + at + j, t.lower + at + j, t.y_step);
        }
    }
}

void me_depthwise_strip_limits(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_pre(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_table(const me_depthwise_two *two) { me_depthwise_strip(two); }

/* Puts a column of four channels of three rows into words. */
ME_INLINE void put_column(uint32_t a, uint32_t b, uint32_t c, uint32_t *to)
{
    const me_halves pair = interleaved(a, b);
    const uint32_t even = even_bytes(c), odd = even_bytes(me_ror(c, 8));
    to[0] = (pair.even & 0xFFFFu) | even << 16;
    to[COLUMNS] = (pair.odd & 0xFFFFu) | odd << 16;
    to[2 * COLUMNS] = pair.even >> 16 | (even & 0xFFFF0000u);
    to[3 * COLUMNS] = pair.odd >> 16 | (odd & 0xFFFF0000u);
}

/* A word of `count` channels, 1 to 4. */
ME_INLINE uint32_t channels_at(const int8_t **at, int32_t step, int32_t count)
{
    const int8_t *p = *at;
    if (count == 4)
        return me_step_w(at, step);
    *at += step;
    return me_pack_b(p[0], count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, 0);
}

/* Fills the columns of results [first, first + n); the first and the last column of a row may be padding. */
ME_INLINE void fill_columns(const me_depthwise_halving *row, int32_t count, int32_t first, int32_t n,
                            uint32_t *to)
{
    const int32_t skipped = row->first ? 0 : 1, start = me_max(2 * first - skipped, 0);
    const int32_t end = me_min(2 * (first + n) + 1, 2 * row->n + 2) - skipped;
    const int32_t a_step = row->steps[0], b_step = row->steps[1], c_step = row->steps[2];
    const int8_t *a = row->rows[0] + start * a_step, *b = row->rows[1] + start * b_step;
    const int8_t *c = row->rows[2] + start * c_step;
    const uint32_t padding = row->padding;
    if (first == 0 && skipped)
        put_column(padding, padding, padding, to++);
    for (int32_t i = start; i < end; i++)
        put_column(channels_at(&a, a_step, count), channels_at(&b, b_step, count),
                   channels_at(&c, c_step, count), to++);
    put_column(padding, padding, padding, to);
}

void me_depthwise_row_2(const me_depthwise_halving *row)
{
    const me_limits to = limits_of(row->pre, row->low, row->high, row->zero);
    const int32_t all = row->n + row->tail, y_step = row->y_step;
    uint32_t columns[4 * COLUMNS];
    int32_t sums[RESULTS];
    for (int32_t first = 0; first < all; first += RESULTS) {
        const int32_t n = me_min(all - first, RESULTS);
        if (row->count == 4)
            fill_columns(row, 4, first, n, columns);
        else
            fill_columns(row, row->count, first, n, columns);
        for (int32_t j = 0; j < row->count; j++) {
            me_row_sums((const int8_t *)(columns + j * COLUMNS), row->weights + 4 * j, n, sums);
            store_row(sums, n, row->channels + j, &to, row->y + first * y_step + j, y_step);
        }
    }
}

void me_depthwise_rows_2(const me_depthwise_halving *rows)
{
    me_depthwise_halving row = *rows;
    for (int32_t i = 0; i < rows->row_count; i++) {
        me_depthwise_row_2(&row);
        row.y += (row.n + row.tail) * row.y_step;
        for (int32_t r = 0; r < 3; r++)
            row.rows[r] += row.down;
    }
}

/* ---- any window: sums of four channels of one result */

#if !defined ME_DSP && !defined ME_MVE

static void me_four_sums(int32_t *sums, const intptr_t *taps, const int8_t *weights, int32_t blocks,
                         intptr_t corner)
{
    for (int32_t j = 0; j < 4; j++) {
        sums[j] = 0;
        for (int32_t t = 0; t < 4 * blocks; t++)
            sums[j] += ((const int8_t *)(corner + taps[t]))[j] * weights[16 * (t / 4) + 4 * j + t % 4];
    }
}

#endif

ME_INLINE void store_four(const int32_t *sums, const me_channel *c, const me_limits *to, int8_t *y)
{
    if (to->plain)
        for (int32_t j = 0; j < 4; j++, c++)
            y[j] = (int8_t)saturated(((sums[j] + c->bias) * c->mult + c->offset) >> c->shift);
    else
        for (int32_t j = 0; j < 4; j++, c++)
            y[j] = scaled(sums[j], c, to);
}

void me_depthwise_pixel(const me_depthwise_any *pixel)
{
    const me_depthwise_any p = *pixel;
    const me_limits to = limits_of(p.pre, p.low, p.high, p.zero);
    const int8_t *weights = p.weights;
    for (int32_t g = 0; g < p.groups; g++, weights += 16 * p.blocks) {
        const int32_t from = me_min(p.first + 4 * g, p.last);
        int32_t sums[4];
        me_four_sums(sums, p.taps, weights, p.blocks, p.corner + from);
        store_four(sums, p.channels + from, &to, p.y + from);
    }
}
