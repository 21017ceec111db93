/* SPDX-License-Identifier: Apache-2.0
 * The common part of the group norm kernels, for int8 or int16. Kernels pass the sizes of elements as
 * constants, so that the compiler removes the other cases.
 */
#ifndef ME_GROUP_PARTS_H
#define ME_GROUP_PARTS_H

#include "me_group_norm.h"
#include "me_group_rows.h"
#include "me_share.h"
#include "me_table.h"

/* ME_GROUP_NARROW  maximum elements per position for which columns over all positions are faster than rows
 * ME_GROUP_COLUMN  minimum positions for which a column is worth its overhead */
enum { ME_GROUP_CORES = 8, ME_GROUP_CHUNK = 1 << 16, ME_GROUP_NORMAL_BITS = 17 };
enum { ME_GROUP_NARROW = 16, ME_GROUP_COLUMN = 4 };

/* Part of a group: positions [first, last) and elements [from, to) of each. Columns start with element
 * `begin`, a different one per core, so that cores access different banks of L1. */
typedef struct {
    int32_t first, last, from, to, begin;
} me_group_part;

/* Addresses of input and output, and whether they are int16. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t x_wide, y_wide;
} me_group_arrays;

static inline me_group_arrays me_group_at_number(me_group_arrays of, int32_t number)
{
    return (me_group_arrays){ of.x + (number << of.x_wide), of.y + (number << of.y_wide), of.x_wide,
                              of.y_wide };
}

/* -> the column after `column`, or the first one after the last */
static inline int32_t me_group_next_column(const me_group_part *part, int32_t column)
{
    return column + 1 < part->to ? column + 1 : part->from;
}

static inline void me_group_add_moments(me_group_moments *of, me_moments some)
{
    of->total += some.total;
    of->squares += (uint32_t)some.squares;
}

static inline void me_group_add_wide_moments(me_group_moments *of, const me_wide_moments *some)
{
    of->total += some->total;
    of->squares += (int64_t)(((uint64_t)some->high << 16) + some->low);
}

/* Adds the moments of up to ME_GROUP_CHUNK bytes, `step` apart: whole words if they are contiguous, then
 * the rest. */
static inline void me_group_add_bytes(me_group_moments *of, const int8_t *x, int32_t n, int32_t step)
{
    const int32_t words = step == 1 ? n / 4 : 0;
    me_moments some;
    if (words > 0) {
        me_moments_words_b(x, words, &some);
        me_group_add_moments(of, some);
    }
    if (4 * words < n) {
        me_moments_apart(x + 4 * words * step, n - 4 * words, step, &some);
        me_group_add_moments(of, some);
    }
}

/* As me_group_add_bytes for halves. */
static inline void me_group_add_halves(me_group_moments *of, const int16_t *x, int32_t n, int32_t step)
{
    const int32_t words = step == 1 ? n / 2 : 0;
    me_wide_moments some;
    if (words > 0) {
        me_moments_words_h(x, words, &some);
        me_group_add_wide_moments(of, &some);
    }
    if (2 * words < n) {
        me_moments_apart_h(x + 2 * words * step, n - 2 * words, 2 * step, &some);
        me_group_add_wide_moments(of, &some);
    }
}

static inline void me_group_add_run(me_group_moments *of, me_group_arrays from, int32_t n, int32_t step)
{
    for (int32_t at = 0; at < n; at += ME_GROUP_CHUNK) {
        const int8_t *x = me_group_at_number(from, at * step).x;
        if (from.x_wide)
            me_group_add_halves(of, (const int16_t *)(const void *)x, me_min(n - at, ME_GROUP_CHUNK), step);
        else
            me_group_add_bytes(of, x, me_min(n - at, ME_GROUP_CHUNK), step);
    }
}

/* Sums the moments of a part of a group. step: elements between positions */
static inline me_group_moments me_group_moments_of(me_group_arrays arrays, int32_t step,
                                                   const me_group_part *part)
{
    const int32_t positions = part->last - part->first, width = part->to - part->from;
    me_group_moments of = { 0, 0 };
    const me_group_arrays from = me_group_at_number(arrays, part->first * step);
    int32_t column = part->begin;
    if (width < ME_GROUP_NARROW && positions >= ME_GROUP_COLUMN)
        for (int32_t i = 0; i < width; i++, column = me_group_next_column(part, column))
            me_group_add_run(&of, me_group_at_number(from, column), positions, step);
    else
        for (int32_t p = 0; p < positions; p++)
            me_group_add_run(&of, me_group_at_number(from, p * step + part->from), width, 1);
    return of;
}

static inline me_line me_group_line_of(const me_group_norm_params *op, me_group_moments of, int32_t x_wide)
{
    const int32_t length = op->positions * op->channels * op->inner;
    const int64_t middle = op->centred ? of.total : (int64_t)length * op->x_zero;
    const int64_t spread = of.squares * length + middle * (middle - 2 * of.total);
    const uint64_t eps = (uint64_t)(uint32_t)op->eps_high << 31 | (uint32_t)op->eps_low;
    const uint64_t whole = (x_wide ? (uint64_t)spread >> (2 * op->down) : (uint64_t)spread) + eps;
    const me_inverse_root found = me_inverse_of_root(whole ? whole : 1u);
    const int32_t inverse = found.inverse, half = found.half, bits = op->bits;
    const int32_t drop = me_max(ME_GROUP_NORMAL_BITS + half - bits, 0), shift = 30 + half - bits - drop;
    const uint32_t slope = (uint32_t)((int64_t)length * inverse >> drop);
    const uint32_t below = (uint32_t)(middle * inverse >> drop);
    return (me_line){ (int32_t)slope, (int32_t)(((1u << shift) >> 1) - below), shift };
}

/* Normalises n values of one channel. */
static inline void me_group_normalise_channel(const me_group_norm_params *op, me_group_arrays at, int32_t n,
                                              int32_t step, const me_gain *pair, const me_line *line)
{
    const int32_t x_step = step << at.x_wide, y_step = step << at.y_wide;
    const me_group_run run = {
        *line, pair->gain, pair->offset, op->shift, op->scale.low, op->scale.high, x_step, y_step,
    };
    const int16_t *halves = (const int16_t *)(const void *)at.x;
    if (at.x_wide && at.y_wide)
        me_normalise_run_h_h(halves, (int16_t *)(void *)at.y, n, &run);
    else if (at.x_wide)
        me_normalise_run_h_b(halves, at.y, n, &run);
    else if (at.y_wide)
        me_normalise_run_b_h(at.x, (int16_t *)(void *)at.y, n, &run);
    else
        me_normalise_run(at.x, at.y, n, &run);
}

/* Normalises a row of n values, one per channel, without limits other than those of their type. */
static inline void me_group_normalise_row(const me_group_norm_params *op, me_group_arrays at, int32_t n,
                                          const me_gain *pairs, const me_line *line)
{
    const int16_t *halves = (const int16_t *)(const void *)at.x;
    if (at.x_wide && at.y_wide)
        me_norm_row_h_s16(halves, (int16_t *)(void *)at.y, n, pairs, line, op->shift, 0);
    else if (at.x_wide)
        me_norm_row_h(halves, at.y, n, pairs, line, op->shift, 0);
    else if (at.y_wide)
        me_norm_row_b_s16(at.x, (int16_t *)(void *)at.y, n, pairs, line, op->shift);
    else
        me_norm_row_b(at.x, at.y, n, pairs, line, op->shift);
}

/* Normalises a part of a group column by column: all positions of an element, then of the next element. */
static inline void me_group_normalise_columns(const me_group_norm_params *op, me_group_arrays arrays,
                                              int32_t step, const me_group_part *part, const me_gain *pairs,
                                              const me_line *line)
{
    const int32_t positions = part->last - part->first, at = part->first * step;
    int32_t column = part->begin;
    for (int32_t i = part->from; i < part->to; i++, column = me_group_next_column(part, column))
        me_group_normalise_channel(op, me_group_at_number(arrays, at + column), positions, step,
                                   pairs + column, line);
}

/* Normalises elements [from, to) of one position. */
static inline void me_group_normalise_position(const me_group_norm_params *op, me_group_arrays at,
                                               const me_group_part *part, const me_gain *pairs,
                                               const me_line *line)
{
    const int32_t inner = op->inner, from = part->from, to = part->to, most = at.y_wide ? 32767 : 127;
    if (inner == 1 && to > from && op->scale.low == -most - 1 && op->scale.high == most) {
        me_group_normalise_row(op, me_group_at_number(at, from), to - from, pairs + from, line);
        return;
    }
    for (int32_t i = from; i < to;) {
        const int32_t channel = i / inner, end = me_min((channel + 1) * inner, to);
        me_group_normalise_channel(op, me_group_at_number(at, i), end - i, 1, pairs + channel, line);
        i = end;
    }
}

static inline void me_group_normalise(const me_group_norm_params *op, me_group_arrays at, int32_t step,
                                      const me_group_part *part, const me_gain *pairs, const me_line *line)
{
    if (op->inner == 1 && part->last - part->first >= ME_GROUP_COLUMN)
        me_group_normalise_columns(op, at, step, part, pairs, line);
    else
        for (int32_t p = part->first; p < part->last; p++)
            me_group_normalise_position(op, me_group_at_number(at, p * step), part, pairs, line);
    if (op->scale.table)
        for (int32_t p = part->first; p < part->last; p++) {
            int8_t *row = at.y + p * step + part->from;
            me_table_row(op->scale.table, row, row, part->to - part->from);
        }
}

/* Share of core `core` of eight: whole positions, or elements of every position if there are fewer than
 * eight positions. */
static inline me_group_part me_group_part_of(const me_group_norm_params *op, int32_t core)
{
    const int32_t width = op->channels * op->inner, positions = op->positions;
    const int32_t n = positions >= ME_GROUP_CORES ? positions : width;
    const int32_t first = me_share_of(ME_GROUP_CORES, core, n),
                  last = me_share_of(ME_GROUP_CORES, core + 1, n);
    if (positions >= ME_GROUP_CORES)
        return (me_group_part){ first, last, 0, width, me_share_of(ME_GROUP_CORES, core, width) };
    return (me_group_part){ 0, positions, first, last, first };
}

/* Position of group `number` of a tile: offset of its first element, and its index in its row. */
typedef struct {
    int32_t at, group;
} me_group_place;

static inline me_group_place me_group_place_of(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                               int32_t number)
{
    const int32_t width = op->channels * op->inner, row = number / tile->groups,
                  group = number - row * tile->groups;
    return (me_group_place){ (row * op->positions * tile->groups + group) * width, group };
}

static inline void me_group_normalise_group(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                            me_group_arrays arrays, me_group_place place,
                                            const me_group_part *part, me_group_moments of)
{
    const me_group_arrays at = me_group_at_number(arrays, place.at);
    const int32_t step = op->channels * op->inner * tile->groups;
    const me_line line = me_group_line_of(op, of, at.x_wide);
    me_group_normalise(op, at, step, part, tile->pairs + place.group * op->channels, &line);
}

static inline void me_group_store_moments(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                          me_group_arrays arrays, int32_t core)
{
    const int32_t step = op->channels * op->inner * tile->groups;
    const me_group_part part = me_group_part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++) {
        const me_group_arrays at = me_group_at_number(arrays, me_group_place_of(op, tile, number).at);
        tile->scratch[number * ME_GROUP_CORES + core] = me_group_moments_of(at, step, &part);
    }
}

static inline void me_group_normalise_shares(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                             me_group_arrays arrays, int32_t core)
{
    const me_group_part part = me_group_part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++) {
        me_group_moments of = { 0, 0 };
        for (int32_t i = 0; i < ME_GROUP_CORES; i++) {
            of.total += tile->scratch[number * ME_GROUP_CORES + i].total;
            of.squares += tile->scratch[number * ME_GROUP_CORES + i].squares;
        }
        me_group_normalise_group(op, tile, arrays, me_group_place_of(op, tile, number), &part, of);
    }
}

static inline void me_group_normalise_groups(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                             me_group_arrays arrays)
{
    const int32_t width = op->channels * op->inner, n = tile->rows * tile->groups;
    const me_group_part whole = { 0, op->positions, 0, width, 0 };
    for (int32_t number = ME_FIRST(n); number < ME_LAST(n); number++) {
        const me_group_place place = me_group_place_of(op, tile, number);
        const me_group_moments of =
            me_group_moments_of(me_group_at_number(arrays, place.at), width * tile->groups, &whole);
        me_group_normalise_group(op, tile, arrays, place, &whole, of);
    }
}

static inline void me_group_norm(const me_group_norm_params *op, const me_group_norm_tile *tile,
                                 int32_t x_wide, int32_t y_wide)
{
    const me_group_arrays arrays = { tile->x, tile->y, x_wide, y_wide };
    if (tile->rows * tile->groups >= ME_GROUP_CORES) {
        me_group_normalise_groups(op, tile, arrays);
        return;
    }
    for (int32_t core = ME_FIRST_PART(ME_GROUP_CORES); core < ME_END_PART(ME_GROUP_CORES); core++)
        me_group_store_moments(op, tile, arrays, core);
    ME_SYNC();
    for (int32_t core = ME_FIRST_PART(ME_GROUP_CORES); core < ME_END_PART(ME_GROUP_CORES); core++)
        me_group_normalise_shares(op, tile, arrays, core);
}

#endif
