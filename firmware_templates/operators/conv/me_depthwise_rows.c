/* SPDX-License-Identifier: Apache-2.0 */
#include "me_depthwise_rows.h"

#if !defined ME_GAP9 || defined ME_SDK

#include "me_math.h"

static int8_t requantise(int32_t acc, const me_channel *c, int32_t pre, int32_t low, int32_t high,
                         const int8_t *zero)
{
    const int8_t q = me_clip(me_requant(acc + c->bias, pre, c->mult, c->offset, c->shift), low, high);
    return zero ? zero[q] : q;
}

static uint32_t word_at(const int8_t *from) { return me_next_w(&from); }

void me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                        int32_t channel_bytes, int32_t n)
{
    for (int32_t i = 0; i < n; i++, a += a_step, b += b_step, to += 4)
        for (int32_t j = 0; j < 4; j++) {
            to[j * channel_bytes] = a[j];
            to[j * channel_bytes + 1] = b[j];
        }
}

void me_depthwise_strip(const me_depthwise_two *two)
{
    const me_depthwise_two t = *two; /* a copy: stores of int8_t results could alias *two */
    const int32_t n = 3 * t.thirds + t.rest;
    for (int32_t j = 0; j < 4; j++) {
        const int8_t *vectors = t.vectors + j * t.channel_bytes;
        const me_channel c = t.channels[j];
        const uint32_t w[3] = { word_at(t.weights + 4 * j), word_at(t.weights + 16 + 4 * j),
                                word_at(t.weights + 32 + 4 * j) };
        for (int32_t i = 0; i < n; i++, vectors += 4) {
            int32_t upper = 0, lower = 0;
            for (int32_t s = 0; s < 3; s++) {
                const uint32_t rows = me_ror(word_at(vectors + 4 * s), (uint32_t)t.turn);
                upper = me_sdotsp_b(upper, rows, w[s]);
                lower = me_sdotsp_b(lower, rows, w[s] << 8);
            }
            t.lower[i * t.y_step + j] = requantise(lower, &c, t.pre, t.low, t.high, t.zero);
            t.upper[i * t.y_step + j] = requantise(upper, &c, t.pre, t.low, t.high, t.zero);
        }
    }
}

void me_depthwise_strip_limits(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_pre(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_table(const me_depthwise_two *two) { me_depthwise_strip(two); }

/* -> column s of window i; the first and the last column may be padding */
static uint32_t column(const me_depthwise_halving *row, int32_t i, int32_t s, int32_t j)
{
    const int32_t at = 2 * i + s - (row->first ? 0 : 1);
    if (at < 0 || (i == row->n && s == 2))
        return row->padding;
    return me_pack_b(row->rows[0][at * row->steps[0] + j], row->rows[1][at * row->steps[1] + j],
                     row->rows[2][at * row->steps[2] + j], 0);
}

void me_depthwise_row_2(const me_depthwise_halving *row)
{
    for (int32_t j = 0; j < row->count; j++)
        for (int32_t i = 0; i < row->n + row->tail; i++) {
            int32_t acc = 0;
            for (int32_t s = 0; s < 3; s++)
                acc = me_sdotsp_b(acc, column(row, i, s, j), word_at(row->weights + 16 * s + 4 * j));
            row->y[i * row->y_step + j] =
                requantise(acc, row->channels + j, row->pre, row->low, row->high, row->zero);
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

void me_depthwise_pixel(const me_depthwise_any *pixel)
{
    const int8_t *weights = pixel->weights;
    int32_t first = pixel->first;
    for (int32_t g = 0; g < pixel->groups; g++, first += 4, weights += 16 * pixel->blocks) {
        const int32_t from = first < pixel->last ? first : pixel->last;
        for (int32_t j = 0; j < 4; j++) {
            int32_t acc = 0;
            for (int32_t t = 0; t < 4 * pixel->blocks; t++)
                acc += ((const int8_t *)(pixel->corner + pixel->taps[t]))[from + j]
                    * weights[16 * (t / 4) + 4 * j + t % 4];
            pixel->y[from + j] =
                requantise(acc, pixel->channels + from + j, pixel->pre, pixel->low, pixel->high, pixel->zero);
        }
    }
}

#endif
