/* SPDX-License-Identifier: Apache-2.0 */
#include "me_move.h"

#include <stdbool.h>

#include "me_math.h"
#include "me_move_rows.h"
#include "me_share.h"

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* ---- pieces */

static void move_piece(const int8_t *from, int8_t *to, int32_t bytes)
{
    const int32_t words = bytes / 4, rest = bytes % 4;
    if (words > 0)
        me_move_words(from, to, words);
    if (rest > 0)
        me_move_bytes(from + 4 * words, to + 4 * words, rest, 1, 1);
}

static void fill_piece(int8_t *to, uint32_t word, int32_t bytes)
{
    const int32_t words = bytes / 4;
    if (words > 0)
        me_fill_words(to, word, words);
    for (int32_t i = 4 * words; i < bytes; i++)
        to[i] = (int8_t)(word & 255u);
}

/* Shares bytes, not rows: a piece may be of two cores. `word`: filled with it, or copied */
static void each_piece(const me_moves *moves, const uint32_t *word)
{
    const int32_t total = moves->rows * moves->bytes, units = (total + 15) / 16;
    int32_t left = least(16 * ME_LAST(units), total) - 16 * ME_FIRST(units);
    if (left <= 0)
        return;
    const int32_t row = 16 * ME_FIRST(units) / moves->bytes;
    int32_t at = 16 * ME_FIRST(units) - row * moves->bytes;
    const int8_t *from = moves->from + (word ? 0 : row * moves->from_step);
    int8_t *to = moves->to + row * moves->to_step;
    while (left > 0) {
        const int32_t n = least(moves->bytes - at, left);
        if (word)
            fill_piece(to + at, *word, n);
        else
            move_piece(from + at, to + at, n);
        left -= n;
        at = 0;
        to += moves->to_step;
        if (!word)
            from += moves->from_step;
    }
}

void me_move_run(const me_moves *moves)
{
    if (moves->from_step == moves->bytes && moves->to_step == moves->bytes) {
        const me_moves one = { moves->from, moves->to, 1, moves->rows * moves->bytes, 0, 0 };
        each_piece(&one, 0);
    } else
        each_piece(moves, 0);
}

void me_fill_run(const me_moves *moves, int8_t value)
{
    const uint32_t word = me_pack_b(value, value, value, value);
    each_piece(moves, &word);
}

void me_joined_run(const me_joined *op, const me_joined_tile *tile)
{
    if (op->fills) {
        const me_moves whole = { 0, tile->y, 1, tile->bytes, 0, 0 };
        me_fill_run(&whole, (int8_t)op->value);
        ME_SYNC();
    }
    for (int32_t i = 0; i < tile->parts; i++)
        me_move_run(&tile->part[i]);
}

/* ---- axes in another order */

/* The two loops that a plane consists of, in bytes: `rows` along the innermost loop of `to`, where
 * `to` moves by 1; `columns` along the loop in which `from` moves by 1, or by anything. */
typedef struct {
    int32_t rows, columns, from_row, from_column, to_column;
} me_plane;

/* Part of a plane: columns [first, last) of `rows` rows. */
static void move_plane(const me_plane *p, const int8_t *from, int8_t *to, int32_t rows, int32_t first,
                       int32_t last)
{
    const int32_t blocks = p->from_column == 1 ? (last - first) / 4 : 0;
    const int32_t even = blocks > 0 ? rows / 4 * 4 : 0, middle = first + 4 * blocks;
    for (int32_t row = 0; row < even; row += 4)
        me_transpose_blocks(from + row * p->from_row + first, to + row + first * p->to_column, blocks,
                            p->from_row, p->to_column);
    if (blocks > 0 && even < rows)
        me_spread_words(from + even * p->from_row + first, to + even + first * p->to_column, blocks,
                        rows - even, p->from_row, p->to_column);
    for (int32_t column = middle; column < last; column++) {
        const int8_t *start = from + column * p->from_column;
        if (p->from_row == 1)
            move_piece(start, to + column * p->to_column, rows);
        else
            me_move_bytes(start, to + column * p->to_column, rows, p->from_row, 1);
    }
}

/* The loop that is a plane's columns: where `from` moves by 1, else the one before the innermost. */
static int32_t column_loop(const me_permute *m)
{
    const int32_t inner = m->loops - 1;
    if (m->step[inner] != 1)
        for (int32_t d = inner - 1; d >= 0; d--)
            if (m->step[d] == 1 && m->extent[d] >= 4)
                return d;
    return inner - 1;
}

static int32_t bytes_of(const me_permute *m, int32_t loop)
{
    int32_t bytes = 1;
    for (int32_t d = loop + 1; d < m->loops; d++)
        bytes *= m->extent[d];
    return bytes;
}

/* Where plane `number` starts: `to` lies in the order of the loops. */
static void start_plane(const me_permute *m, int32_t loop, int32_t number, const int8_t **from, int8_t **to)
{
    int32_t to_step = m->extent[m->loops - 1];
    for (int32_t d = m->loops - 2; d >= 0; to_step *= m->extent[d], d--) {
        if (d == loop)
            continue;
        const int32_t i = number % m->extent[d];
        number /= m->extent[d];
        *from += i * m->step[d];
        *to += i * to_step;
    }
}

static int32_t planes_of(const me_permute *m, int32_t loop)
{
    int32_t planes = 1;
    for (int32_t d = 0; d < m->loops - 1; d++)
        planes *= d == loop ? 1 : m->extent[d];
    return planes;
}

/* n / d without a division, which takes more than 30 cycles, where there is nothing to divide. */
static inline int32_t quotient(int32_t n, int32_t d)
{
    return d == 1 ? n : n < d ? 0 : n / d;
}

/* Shares groups of four columns of all planes, and pieces of their rows where these are few. */
static void each_plane(const me_permute *m, const me_plane *plane, int32_t loop)
{
    const int32_t groups = (plane->columns + 3) / 4, planes = planes_of(m, loop);
    const int32_t pieces = planes * groups >= 16 ? 1 : least(8, (plane->rows + 3) / 4);
    const int32_t rows = (quotient(plane->rows + pieces - 1, pieces) + 3) / 4 * 4;
    const int32_t n = planes * pieces * groups, last = ME_LAST(n);
    for (int32_t at = ME_FIRST(n); at < last;) {
        const int32_t piece = quotient(at, groups), group = at - piece * groups;
        const int32_t number = quotient(piece, pieces), row = (piece - number * pieces) * rows;
        const int32_t some = least(groups - group, last - at);
        const int8_t *from = m->from + row * plane->from_row;
        int8_t *to = m->to + row;
        start_plane(m, loop, number, &from, &to);
        if (row < plane->rows)
            move_plane(plane, from, to, least(rows, plane->rows - row), 4 * group,
                       least(4 * (group + some), plane->columns));
        at += some;
    }
}

/* One loop: a copy where it moves by 1, else single bytes. */
static void move_line(const me_permute *m)
{
    const int32_t first = ME_FIRST(m->extent[0]), n = ME_LAST(m->extent[0]) - first;
    const me_moves moves = { m->from, m->to, 1, m->extent[0], 0, 0 };
    if (m->step[0] == 1)
        me_move_run(&moves);
    else if (n > 0)
        me_move_bytes(m->from + first * m->step[0], m->to + first, n, m->step[0], 1);
}

void me_permute_run(const me_permute *m)
{
    const int32_t inner = m->loops - 1;
    if (inner == 0) {
        move_line(m);
        return;
    }
    const int32_t loop = column_loop(m);
    const me_plane plane = { m->extent[inner], m->extent[loop], m->step[inner], m->step[loop],
                             bytes_of(m, loop) };
    each_plane(m, &plane, loop);
}
