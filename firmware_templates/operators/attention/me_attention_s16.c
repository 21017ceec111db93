/* SPDX-License-Identifier: Apache-2.0 */
#include "me_attention_s16.h"

#include "me_dots_s16.h"
#include "me_math.h"
#include "me_share.h"
#include "me_wide.h"
#include "me_wide_rows.h"

/* What divides a row's sums. */
typedef struct {
    int32_t down, factor;
} row_divisor;

/* A tile with its operands as int16; row: bytes of one in scratch; words: of two numbers, for all keys. */
typedef struct {
    const me_attention_s16_params *op;
    const me_attention_s16_tile *tile;
    const int16_t *q, *k, *v;
    row_divisor *divisors;
    int32_t row, words;
} attention_work;

/* A row of a head in its tile, its place in scratch, and the keys that it sees. */
typedef struct {
    int32_t head, row, first, end;
    int32_t *x;
    row_divisor *divisor;
} seen_row;

static seen_row row_of(const attention_work *w, int32_t number)
{
    const int32_t head = number / w->tile->rows, row = number - head * w->tile->rows, at = w->tile->first_row + row;
    return (seen_row){
        head, row, me_max(at - w->op->before, 0), me_min(at + w->op->after + 1, w->op->keys),
        (int32_t *)(void *)(w->tile->scratch + number * w->row), w->divisors + number,
    };
}

/* (sum >> drop) where 32 bits hold it */
static int32_t shifted(me_wide_sum sum, int32_t drop)
{
    if (drop >= 16)
        return sum.high >> (drop - 16);
    return (int32_t)((uint32_t)sum.high << (16 - drop) | sum.low >> drop);
}

/* Sum of a[i] * b[i] over words, low below 2**16. */
static me_wide_sum sum_of(const int16_t *a, const int16_t *b, int32_t words, me_wide_sum sum)
{
    me_wide_sum more;
    me_dots_h(a, b, words, &more);
    const uint32_t low = sum.low + more.low + (uint32_t)words;
    return (me_wide_sum){ low & 0xffffu, sum.high + more.high + (int32_t)(low >> 16) };
}

static void scores(const attention_work *w, const seen_row *of)
{
    const me_attention_s16_tile *tile = w->tile;
    const int32_t width = w->op->width, stride = tile->heads * width;
    const int32_t from = me_max(of->first, tile->first_key), to = me_min(of->end, tile->first_key + tile->keys);
    const int16_t *q = w->q + of->row * stride + of->head * width;
    const int16_t *k = w->k + (from - tile->first_key) * stride + of->head * width;
    for (int32_t key = from; key < to; key++, k += stride)
        of->x[key] = shifted(sum_of(q, k, width / 2, (me_wide_sum){ 0, 0 }), w->op->drop);
}

/* ---- exponentials, two in a word, in the place of scores */

static void add_bias(const attention_work *w, const seen_row *of)
{
    const me_attention_s16_params *op = w->op;
    const int32_t at = of->head * w->tile->bias_step + of->row * op->keys;
    for (int32_t key = of->first; key < of->end; key++)
        of->x[key] += me_wide_load(w->tile->bias, at + key, op->bias_wide) * op->bias_mult >> op->bias_shift;
}

/* The row's mask; 0 where all keys are seen, or hidden: their scores stay, or become 0. */
static const int8_t *mask_of(const attention_work *w, const seen_row *of)
{
    if (w->tile->mask == 0)
        return 0;
    const int8_t *mask = w->tile->mask + of->head * w->tile->mask_step + of->row * w->op->keys;
    for (int32_t key = of->first; key < of->end; key++)
        if (mask[key] >= 0)
            return mask;
    for (int32_t key = of->first; w->op->flat && key < of->end; key++)
        of->x[key] = 0;
    return 0;
}

static inline int32_t is_seen(const seen_row *of, const int8_t *mask, int32_t key)
{
    return key >= of->first && key < of->end && (mask == 0 || mask[key] >= 0);
}

static uint32_t exponential(const me_attention_s16_params *op, const seen_row *of, const int8_t *mask, int32_t key,
                            int32_t largest)
{
    if (!is_seen(of, mask, key))
        return 0;
    const uint32_t distance = (uint32_t)me_min(largest - of->x[key], op->most) * (uint32_t)op->mult + (1u << 14);
    return me_exponential(op->exp, me_min((int32_t)(distance >> 15), 65535));
}

static void exponentials(const attention_work *w, const seen_row *of)
{
    if (w->tile->bias)
        add_bias(w, of);
    const int8_t *mask = mask_of(w, of);
    int32_t largest = -INT32_MAX;
    for (int32_t key = of->first; key < of->end; key++)
        if (mask == 0 || mask[key] >= 0)
            largest = me_max(largest, of->x[key]);
    uint32_t sum = 0;
    for (int32_t word = of->first / 2; word < (of->end + 1) / 2; word++) {
        const uint32_t even = exponential(w->op, of, mask, 2 * word, largest);
        const uint32_t odd = exponential(w->op, of, mask, 2 * word + 1, largest);
        of->x[word] = (int32_t)(even | odd << 16);
        sum += even + odd;
    }
    const int32_t top = me_fl1(sum);
    const uint32_t mantissa = top > 15 ? sum >> (top - 15) : sum << (15 - top);
    *of->divisor = (row_divisor){ top - 14, (int32_t)((uint32_t)w->op->share / mantissa) };
}

/* ---- sums of values, scaled when the last of them is there */

static void store(const attention_work *w, const seen_row *of, int32_t column, me_wide_sum sum)
{
    const me_attention_s16_params *op = w->op;
    const int64_t product = (int64_t)shifted(sum, of->divisor->down) * of->divisor->factor;
    const int32_t number = (int32_t)(product >> 16) + ((1 << op->out_shift) >> 1);
    const int32_t at = (of->row * w->tile->heads + of->head) * op->out_width + column;
    me_limited_store(w->tile->y, at, op->y_wide, (number >> op->out_shift) + op->zero, op->low, op->high);
}

static void values(const attention_work *w, const seen_row *of)
{
    const me_attention_s16_tile *tile = w->tile;
    const int32_t columns = w->op->out_width, start = tile->first_value / 2, n = tile->values / 2;
    const int32_t first = of->first / 2, from = me_max(first, start), to = me_min((of->end + 1) / 2, start + n);
    const int16_t *e = (const int16_t *)(const void *)(of->x + from);
    const int16_t *v = w->v + of->head * columns * tile->values + 2 * (from - start);
    me_wide_sum *sums = (me_wide_sum *)(void *)(of->x + w->words);
    const int32_t last = start + n == w->words;
    for (int32_t column = 0; column < columns; column++, v += tile->values) {
        me_wide_sum sum = first < start ? sums[column] : (me_wide_sum){ 0, 0 };
        if (from < to)
            sum = sum_of(e, v, to - from, sum);
        if (last)
            store(w, of, column, sum);
        else
            sums[column] = sum;
    }
}

/* ---- what cores share */

/* n numbers as int16, less their zero point: where they lie, or copies in *own, behind which others go. */
static const int16_t *as_halves(const void *x, int32_t wide, int32_t zero, int32_t n, int16_t **own)
{
    int16_t *const to = *own;
    if (wide && zero == 0)
        return x;
    for (int32_t i = ME_FIRST(n); i < ME_LAST(n); i++)
        to[i] = (int16_t)(me_wide_load(x, i, wide) - zero);
    *own += n;
    return to;
}

static attention_work work_of(const me_attention_s16_params *op, const me_attention_s16_tile *tile)
{
    const int32_t words = (op->keys + 3) / 4 * 2, units = tile->heads * tile->rows;
    const int32_t row = me_max(8 * words, 4 * words + 8 * op->out_width);
    row_divisor *const divisors = (row_divisor *)(void *)(tile->scratch + units * row);
    int16_t *own = (int16_t *)(void *)(divisors + units);
    const int32_t of_q = tile->keys > 0 ? units * op->width : 0, of_k = tile->heads * tile->keys * op->width;
    const int32_t of_v = tile->heads * op->out_width * tile->values;
    const int16_t *q = as_halves(tile->q, op->q_wide, 0, of_q, &own);
    const int16_t *k = as_halves(tile->k, op->k_wide, 0, of_k, &own);
    const int16_t *v = as_halves(tile->v, op->v_wide, op->v_zero, of_v, &own);
    return (attention_work){ op, tile, q, k, v, divisors, row, words };
}

void me_attention_s16(const me_attention_s16_params *op, const me_attention_s16_tile *tile)
{
    const attention_work w = work_of(op, tile);
    const int32_t cores = ME_KERNEL_CORES(0), units = tile->heads * tile->rows;
    if (!(op->q_wide && op->k_wide && op->v_wide && op->v_zero == 0))
        ME_SYNC();
    for (int32_t part = ME_FIRST_PART(cores); part < ME_END_PART(cores); part++)
        for (int32_t number = part; number < units; number += cores) { /* windows: rows near another see as much */
            const seen_row of = row_of(&w, number);
            if (tile->keys > 0)
                scores(&w, &of);
            if (tile->keys > 0 && tile->first_key + tile->keys == op->keys)
                exponentials(&w, &of);
            if (tile->values > 0)
                values(&w, &of);
        }
}
