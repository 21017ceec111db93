/* SPDX-License-Identifier: Apache-2.0 */
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

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* The column that follows, behind the last one the first. */
static inline int32_t next_column(const part_of_group *part, int32_t column)
{
    return column + 1 < part->to ? column + 1 : part->from;
}

static void add_moments(me_group_moments *of, me_moments some)
{
    of->total += some.total;
    of->squares += some.squares;
}

/* n numbers at equal distances, or words of four one behind the other and what is behind the last. */
static void add_run(me_group_moments *of, const int8_t *x, int32_t n, int32_t step)
{
    me_moments some;
    for (int32_t at = 0; at < n; at += CHUNK) {
        const int32_t count = least(n - at, CHUNK), words = step == 1 ? count / 4 : 0;
        if (words > 0) {
            me_moments_b(x + at, words, &some);
            add_moments(of, some);
        }
        if (4 * words < count) {
            me_moments_apart(x + (at + 4 * words) * step, count - 4 * words, step, &some);
            add_moments(of, some);
        }
    }
}

/* step   elements between positions */
static me_group_moments moments_of(const int8_t *x, int32_t step, const part_of_group *part)
{
    const int32_t positions = part->last - part->first, width = part->to - part->from;
    me_group_moments of = { 0, 0 };
    const int8_t *from = x + part->first * step;
    int32_t column = part->begin;
    if (width < NARROW && positions >= COLUMN)
        for (int32_t i = 0; i < width; i++, column = next_column(part, column))
            add_run(&of, from + column, positions, step);
    else
        for (int32_t p = 0; p < positions; p++)
            add_run(&of, from + p * step + part->from, width, 1);
    return of;
}

static me_line line_of(const me_group_norm_s8_params *op, me_group_moments of)
{
    const int32_t length = op->positions * op->channels * op->inner;
    const int64_t middle = op->centred ? of.total : (int64_t)length * op->x_zero;
    const int64_t spread = of.squares * length + middle * (middle - 2 * of.total);
    const uint64_t eps = (uint64_t)(uint32_t)op->eps_high << 31 | (uint32_t)op->eps_low;
    const uint64_t whole = (uint64_t)spread + eps;
    const me_inverse_root found = me_inverse_of_root(whole ? whole : 1u);
    const int32_t inverse = found.inverse, half = found.half, bits = op->bits;
    const int32_t drop = me_max(NORMAL_BITS + half - bits, 0), shift = 30 + half - bits - drop;
    const uint32_t slope = (uint32_t)((int64_t)length * inverse >> drop);
    const uint32_t below = (uint32_t)(middle * inverse >> drop);
    return (me_line){ (int32_t)slope, (int32_t)(((1u << shift) >> 1) - below), shift };
}

/* n numbers of one channel */
static void normalise_channel(const me_group_norm_s8_params *op, const int8_t *x, int8_t *y, int32_t n, int32_t step,
                              const me_gain *pair, const me_line *line)
{
    const me_group_run run = { *line, pair->gain, pair->offset, op->shift, op->scale.low, op->scale.high, step };
    me_normalise_run(x, y, n, &run);
}

/* Channels of several positions, or all elements of each channel of a position. */
static void normalise_columns(const me_group_norm_s8_params *op, const int8_t *x, int8_t *y, int32_t step,
                              const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    const int32_t positions = part->last - part->first, at = part->first * step;
    int32_t column = part->begin;
    for (int32_t i = part->from; i < part->to; i++, column = next_column(part, column))
        normalise_channel(op, x + at + column, y + at + column, positions, step, pairs + column, line);
}

/* Elements from .. to of a position. */
static void normalise_position(const me_group_norm_s8_params *op, const int8_t *x, int8_t *y,
                               const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    const int32_t inner = op->inner, from = part->from, to = part->to;
    if (inner == 1 && to > from && op->scale.low == -128 && op->scale.high == 127) {
        me_norm_row_b(x + from, y + from, to - from, pairs + from, line, op->shift);
        return;
    }
    for (int32_t at = from; at < to;) {
        const int32_t channel = at / inner, end = least((channel + 1) * inner, to);
        normalise_channel(op, x + at, y + at, end - at, 1, pairs + channel, line);
        at = end;
    }
}

static void normalise(const me_group_norm_s8_params *op, const int8_t *x, int8_t *y, int32_t step,
                      const part_of_group *part, const me_gain *pairs, const me_line *line)
{
    if (op->inner == 1 && part->last - part->first >= COLUMN)
        normalise_columns(op, x, y, step, part, pairs, line);
    else
        for (int32_t p = part->first; p < part->last; p++)
            normalise_position(op, x + p * step, y + p * step, part, pairs, line);
    if (op->scale.table)
        for (int32_t p = part->first; p < part->last; p++) {
            int8_t *row = y + p * step + part->from;
            me_table_row(op->scale.table, row, row, part->to - part->from);
        }
}

/* Part `core` of eight: of the positions, or, where they are few, of the elements of each. */
static part_of_group part_of(const me_group_norm_s8_params *op, int32_t core)
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

static place_of_group place_of(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile, int32_t number)
{
    const int32_t width = op->channels * op->inner, row = number / tile->groups, group = number - row * tile->groups;
    return (place_of_group){ (row * op->positions * tile->groups + group) * width, group };
}

static void normalise_group(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile, place_of_group place,
                            const part_of_group *part, me_group_moments of)
{
    const int32_t at = place.at, step = op->channels * op->inner * tile->groups;
    const me_line line = line_of(op, of);
    normalise(op, tile->x + at, tile->y + at, step, part, tile->pairs + place.group * op->channels, &line);
}

static void share_moments(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile, int32_t core)
{
    const int32_t step = op->channels * op->inner * tile->groups;
    const part_of_group part = part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++)
        tile->scratch[number * CORES + core] = moments_of(tile->x + place_of(op, tile, number).at, step, &part);
}

static void share_each_group(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile, int32_t core)
{
    const part_of_group part = part_of(op, core);
    for (int32_t number = 0; number < tile->rows * tile->groups; number++) {
        me_group_moments of = { 0, 0 };
        for (int32_t i = 0; i < CORES; i++) {
            of.total += tile->scratch[number * CORES + i].total;
            of.squares += tile->scratch[number * CORES + i].squares;
        }
        normalise_group(op, tile, place_of(op, tile, number), &part, of);
    }
}

static void share_groups(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile)
{
    const int32_t width = op->channels * op->inner, n = tile->rows * tile->groups;
    const part_of_group whole = { 0, op->positions, 0, width, 0 };
    for (int32_t number = ME_FIRST(n); number < ME_LAST(n); number++) {
        const place_of_group place = place_of(op, tile, number);
        normalise_group(op, tile, place, &whole, moments_of(tile->x + place.at, width * tile->groups, &whole));
    }
}

void me_group_norm_s8(const me_group_norm_s8_params *op, const me_group_norm_s8_tile *tile)
{
    if (tile->rows * tile->groups >= CORES) {
        share_groups(op, tile);
        return;
    }
    for (int32_t core = ME_FIRST_PART(CORES); core < ME_END_PART(CORES); core++)
        share_moments(op, tile, core);
    ME_SYNC();
    for (int32_t core = ME_FIRST_PART(CORES); core < ME_END_PART(CORES); core++)
        share_each_group(op, tile, core);
}
