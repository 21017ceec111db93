/* SPDX-License-Identifier: Apache-2.0
 * Group norm of numbers of 8 or 16 bits: what the kernels have in common. Sizes in bytes are constants
 * of a kernel where it calls me_group_norm, so that a compiler leaves out the other cases.
 */
#ifndef ME_GROUP_PARTS_H
#define ME_GROUP_PARTS_H

#include "me_group_norm.h"
#include "me_group_rows.h"
#include "me_share.h"
#include "me_table.h"

/* NARROW   elements of a position that take longer as a row than as columns over all positions
 * COLUMN   positions that are worth a column */
enum { CORES = 8, CHUNK = 1 << 16, NORMAL_BITS = 17, NARROW = 16, COLUMN = 4 };

/* Part of a group: positions first .. last, elements from .. to of each of them; columns begin with
 * number `begin`, so that cores read other banks of L1. */
typedef struct {
    int32_t first, last, from, to, begin;
} part_of_group;

/* Where numbers lie, and whether they have 16 bits. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    int32_t x_wide, y_wide;
} me_group_arrays;

static inline me_group_arrays at_number(me_group_arrays of, int32_t number)
{
    return (me_group_arrays){ of.x + (number << of.x_wide), of.y + (number << of.y_wide), of.x_wide,
                              of.y_wide };
}

/* The column that follows, behind the last one the first. */
static inline int32_t next_column(const part_of_group *part, int32_t column)
{
    return column + 1 < part->to ? column + 1 : part->from;
}

static inline void add_moments(me_group_moments *of, me_moments some)
{
    of->total += some.total;
    of->squares += some.squares;
}

static inline void add_wide_moments(me_group_moments *of, const me_wide_moments *some)
{
    of->total += some->total;
    of->squares += (int64_t)(((uint64_t)some->high << 16) + some->low);
}

/* Up to CHUNK bytes, `step` apart: words of four one behind the other, and what is behind the last. */
static inline void add_bytes(me_group_moments *of, const int8_t *x, int32_t n, int32_t step)
{
    const int32_t words = step == 1 ? n / 4 : 0;
    me_moments some;
    if (words > 0) {
        me_moments_b(x, words, &some);
        add_moments(of, some);
    }
    if (4 * words < n) {
        me_moments_apart(x + 4 * words * step, n - 4 * words, step, &some);
        add_moments(of, some);
    }
}

/* The same of halves. */
static inline void add_halves(me_group_moments *of, const int16_t *x, int32_t n, int32_t step)
{
    const int32_t words = step == 1 ? n / 2 : 0;
    me_wide_moments some;
    if (words > 0) {
        me_moments_words_h(x, words, &some);
        add_wide_moments(of, &some);
    }
    if (2 * words < n) {
        me_moments_apart_h(x + 2 * words * step, n - 2 * words, 2 * step, &some);
        add_wide_moments(of, &some);
    }
}

static inline void add_run(me_group_moments *of, me_group_arrays from, int32_t n, int32_t step)
{
    for (int32_t at = 0; at < n; at += CHUNK) {
        const int8_t *x = at_number(from, at * step).x;
        if (from.x_wide)
            add_halves(of, (const int16_t *)(const void *)x, me_min(n - at, CHUNK), step);
        else
            add_bytes(of, x, me_min(n - at, CHUNK), step);
    }
}

/* step   elements between positions */
static inline me_group_moments moments_of(me_group_arrays arrays, int32_t step, const part_of_group *part)
{
    const int32_t positions = part->last - part->first, width = part->to - part->from;
    me_group_moments of = { 0, 0 };
    const me_group_arrays from = at_number(arrays, part->first * step);
    int32_t column = part->begin;
    if (width < NARROW && positions >= COLUMN)
        for (int32_t i = 0; i < width; i++, column = next_column(part, column))
            add_run(&of, at_number(from, column), positions, step);
    else
        for (int32_t p = 0; p < positions; p++)
            add_run(&of, at_number(from, p * step + part->from), width, 1);
    return of;
}

static inline me_line line_of(const me_group_norm_s8_params *op, me_group_moments of, int32_t x_wide)
{
    const int32_t length = op->positions * op->channels * op->inner;
    const int64_t middle = op->centred ? of.total : (int64_t)length * op->x_zero;
    const int64_t spread = of.squares * length + middle * (middle - 2 * of.total);
    const uint64_t eps = (uint64_t)(uint32_t)op->eps_high << 31 | (uint32_t)op->eps_low;
    const uint64_t whole = (x_wide ? (uint64_t)spread >> (2 * op->down) : (uint64_t)spread) + eps;
    const me_inverse_root found = me_inverse_of_root(whole ? whole : 1u);
    const int32_t inverse = found.inverse, half = found.half, bits = op->bits;
    const int32_t drop = me_max(NORMAL_BITS + half - bits, 0), shift = 30 + half - bits - drop;
    const uint32_t slope = (uint32_t)((int64_t)length * inverse >> drop);
    const uint32_t below = (uint32_t)(middle * inverse >> drop);
    return (me_line){ (int32_t)slope, (int32_t)(((1u << shift) >> 1) - below), shift };
}

/* n numbers of one channel */
static inline void normalise_channel(const me_group_norm_s8_params *op, me_group_arrays at, int32_t n,
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

/* n numbers of as many channels, limited by their type alone */
static inline void normalise_row(const me_group_norm_s8_params *op, me_group_arrays at, int32_t n,
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

/* Channels of several positions, or all elements of each channel of a position. */
static inline void normalise_columns(const me_group_norm_s8_params *op, me_group_arrays arrays, int32_t step,
                                     const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    const int32_t positions = part->last - part->first, at = part->first * step;
    int32_t column = part->begin;
    for (int32_t i = part->from; i < part->to; i++, column = next_column(part, column))
        normalise_channel(op, at_number(arrays, at + column), positions, step, pairs + column, line);
}

/* Elements from .. to of a position. */
static inline void normalise_position(const me_group_norm_s8_params *op, me_group_arrays at,
                                      const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    const int32_t inner = op->inner, from = part->from, to = part->to, most = at.y_wide ? 32767 : 127;
    if (inner == 1 && to > from && op->scale.low == -most - 1 && op->scale.high == most) {
        normalise_row(op, at_number(at, from), to - from, pairs + from, line);
        return;
    }
    for (int32_t i = from; i < to;) {
        const int32_t channel = i / inner, end = me_min((channel + 1) * inner, to);
        normalise_channel(op, at_number(at, i), end - i, 1, pairs + channel, line);
        i = end;
    }
}

static inline void normalise(const me_group_norm_s8_params *op, me_group_arrays at, int32_t step,
                             const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    if (op->inner == 1 && part->last - part->first >= COLUMN)
        normalise_columns(op, at, step, part, pairs, line);
    else
        for (int32_t p = part->first; p < part->last; p++)
            normalise_position(op, at_number(at, p * step), part, pairs, line);
    if (op->scale.table)
        for (int32_t p = part->first; p < part->last; p++) {
            int8_t *row = at.y + p * step + part->from;
            me_table_row(op->scale.table, row, row, part->to - part->from);
        }
}

/* Part `core` of eight: of the positions, or, where they are few, of the elements of each. */
static inline part_of_group part_of(const me_group_norm_s8_params *op, int32_t core)
{
    const int32_t width = op->channels * op->inner, positions = op->positions;
    const int32_t n = positions >= CORES ? positions : width;
    const int32_t first = me_share_of(CORES, core, n), last = me_share_of(CORES, core + 1, n);
    if (positions >= CORES)
        return (part_of_group){ first, last, 0, width, me_share_of(CORES, core, width) };
    return (part_of_group){ 0, positions, first, last, first };
}

/* Where group `number` of a tile begins, and which of its row it is. */
typedef struct {
    int32_t at, group;
} place_of_group;

static inline place_of_group place_of(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                      int32_t number)
{
    const int32_t width = op->channels * op->inner, row = number / tile->groups,
                  group = number - row * tile->groups;
    return (place_of_group){ (row * op->positions * tile->groups + group) * width, group };
}

static inline void normalise_group(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                   me_group_arrays arrays, place_of_group place, const part_of_group *part,
                                   me_group_moments of)
{
    const me_group_arrays at = at_number(arrays, place.at);
    const int32_t step = op->channels * op->inner * tile->groups;
    const me_line line = line_of(op, of, at.x_wide);
    normalise(op, at, step, part, tile->pairs + place.group * op->channels, &line);
}

static inline void share_moments(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                 me_group_arrays arrays, int32_t core)
{
    const int32_t step = op->channels * op->inner * tile->groups;
    const part_of_group part = part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++) {
        const me_group_arrays at = at_number(arrays, place_of(op, tile, number).at);
        tile->scratch[number * CORES + core] = moments_of(at, step, &part);
    }
}

static inline void share_each_group(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                    me_group_arrays arrays, int32_t core)
{
    const part_of_group part = part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++) {
        me_group_moments of = { 0, 0 };
        for (int32_t i = 0; i < CORES; i++) {
            of.total += tile->scratch[number * CORES + i].total;
            of.squares += tile->scratch[number * CORES + i].squares;
        }
        normalise_group(op, tile, arrays, place_of(op, tile, number), &part, of);
    }
}

static inline void share_groups(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                me_group_arrays arrays)
{
    const int32_t width = op->channels * op->inner, n = tile->rows * tile->groups;
    const part_of_group whole = { 0, op->positions, 0, width, 0 };
    for (int32_t number = ME_FIRST(n); number < ME_LAST(n); number++) {
        const place_of_group place = place_of(op, tile, number);
        const me_group_moments of = moments_of(at_number(arrays, place.at), width * tile->groups, &whole);
        normalise_group(op, tile, arrays, place, &whole, of);
    }
}

static inline void me_group_norm(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile,
                                 int32_t x_wide, int32_t y_wide)
{
    const me_group_arrays arrays = { tile->x, tile->y, x_wide, y_wide };
    if (tile->rows * tile->groups >= CORES) {
        share_groups(op, tile, arrays);
        return;
    }
    for (int32_t core = ME_FIRST_PART(CORES); core < ME_END_PART(CORES); core++)
        share_moments(op, tile, arrays, core);
    ME_SYNC();
    for (int32_t core = ME_FIRST_PART(CORES); core < ME_END_PART(CORES); core++)
        share_each_group(op, tile, arrays, core);
}

#endif
