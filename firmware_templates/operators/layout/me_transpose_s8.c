/* SPDX-License-Identifier: Apache-2.0 */
#include "me_layout.h"

#include "me_copy_rows.h"
#include "me_math.h"
#include "me_share.h"

/* noinline: a tile uses one of two algorithms, and the code of the other need not be fetched from L2. */
#define ME_APART __attribute__((noinline))

enum { MANY_ROWS = 16 };

/* A plane consists of two loops, with steps in bytes. `rows` runs along the innermost loop of `to`, in
 * which `to` advances by 1; `columns` along the loop in which `from` advances by 1, or another one if
 * there is none. */
typedef struct {
    int32_t rows, columns, from_row, from_column, to_column;
} me_plane;

/* Moves a part of a plane: columns [first, last) of `rows` rows. */
static void move_plane(const me_plane *p, const int8_t *from, int8_t *to, int32_t rows, int32_t first,
                       int32_t last)
{
    const int32_t blocks = p->from_column == 1 ? (last - first) / 4 : 0;
    const int32_t even = blocks > 0 ? rows / 4 * 4 : 0, middle = first + 4 * blocks;
    if (even > 0)
        me_turn_columns(from + first, to + first * p->to_column, blocks, even / 4, p->from_row, p->to_column);
    if (blocks > 0 && even < rows)
        me_scatter_words(from + even * p->from_row + first, to + even + first * p->to_column, blocks,
                         rows - even, p->from_row, p->to_column);
    for (int32_t column = middle; column < last; column++) {
        const int8_t *start = from + column * p->from_column;
        if (p->from_row == 1)
            me_copy_piece(start, to + column * p->to_column, rows);
        else
            me_copy_bytes(start, to + column * p->to_column, rows, p->from_row, 1);
    }
}

/* -> the loop that is the plane's columns: one in which `from` advances by 1, otherwise the loop before
 * the innermost */
static int32_t column_loop(const me_transpose_s8_tile *m)
{
    const int32_t inner = m->loops - 1;
    if (m->step[inner] != 1)
        for (int32_t d = inner - 1; d >= 0; d--)
            if (m->step[d] == 1 && m->extent[d] >= 4)
                return d;
    return inner - 1;
}

static int32_t bytes_per_iteration(const me_transpose_s8_tile *m, int32_t loop)
{
    int32_t bytes = 1;
    for (int32_t d = loop + 1; d < m->loops; d++)
        bytes *= m->extent[d];
    return bytes;
}

/* Adds the offsets of plane `number` to *from and *to; `to` is contiguous in the order of the loops. */
static void start_plane(const me_transpose_s8_tile *m, int32_t loop, int32_t number, const int8_t **from,
                        int8_t **to)
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

static int32_t planes_of(const me_transpose_s8_tile *m, int32_t loop)
{
    int32_t planes = 1;
    for (int32_t d = 0; d < m->loops - 1; d++)
        planes *= d == loop ? 1 : m->extent[d];
    return planes;
}

/* n / d, without the division, which takes more than 30 cycles, in the trivial cases. */
static inline int32_t quotient(int32_t n, int32_t d) { return d == 1 ? n : n < d ? 0 : n / d; }

/* Shares groups of four columns of all planes among cores, and pieces of their rows if there are few
 * groups. */
static void each_plane(const me_transpose_s8_tile *m, const me_plane *plane, int32_t loop)
{
    const int32_t groups = (plane->columns + 3) / 4, planes = planes_of(m, loop);
    const int32_t pieces = planes * groups >= 16 ? 1 : me_min(8, (plane->rows + 3) / 4);
    const int32_t rows = (quotient(plane->rows + pieces - 1, pieces) + 3) / 4 * 4;
    const int32_t n = planes * pieces * groups, last = ME_LAST(n);
    for (int32_t at = ME_FIRST(n); at < last;) {
        const int32_t piece = quotient(at, groups), group = at - piece * groups;
        const int32_t number = quotient(piece, pieces), row = (piece - number * pieces) * rows;
        const int32_t some = me_min(groups - group, last - at);
        const int8_t *from = m->from + row * plane->from_row;
        int8_t *to = m->to + row;
        start_plane(m, loop, number, &from, &to);
        if (row < plane->rows)
            move_plane(plane, from, to, me_min(rows, plane->rows - row), 4 * group,
                       me_min(4 * (group + some), plane->columns));
        at += some;
    }
}

/* Moves a single loop: a copy if its step is 1, otherwise single bytes. */
static void move_line(const me_transpose_s8_tile *m)
{
    const int32_t first = ME_FIRST(m->extent[0]), n = ME_LAST(m->extent[0]) - first;
    const me_copy_part whole = { m->from, m->to, 1, m->extent[0], 0, 0 };
    if (m->step[0] == 1)
        me_copy_rows(&whole);
    else if (n > 0)
        me_copy_bytes(m->from + first * m->step[0], m->to + first, n, m->step[0], 1);
}

/* Position in the loops up to `loop`: their indices, and the source address. */
typedef struct {
    const int8_t *from;
    int32_t loop, index[ME_AXES];
} loop_position;

static loop_position indices_at(const me_transpose_s8_tile *m, int32_t loop, int32_t number)
{
    loop_position at;
    at.from = m->from;
    at.loop = loop;
    for (int32_t d = loop; d >= 0; d--) {
        const int32_t turns = d == 0 ? 0 : quotient(number, m->extent[d]);
        at.index[d] = number - turns * m->extent[d];
        at.from += at.index[d] * m->step[d];
        number = turns;
    }
    return at;
}

/* Advances by n iterations of the loop `at->loop`, at most to its end; then its outer loops advance. */
static void skip_iterations(const me_transpose_s8_tile *m, loop_position *at, int32_t n)
{
    at->from += n * m->step[at->loop];
    at->index[at->loop] += n;
    for (int32_t d = at->loop; d > 0 && at->index[d] == m->extent[d]; d--) {
        at->from += m->step[d - 1] - m->step[d] * at->index[d];
        at->index[d] = 0;
        at->index[d - 1]++;
    }
}

/* -> the number of iterations of the first `loops` loops together */
static int32_t iterations_of(const me_transpose_s8_tile *m, int32_t loops)
{
    int32_t turns = 1;
    for (int32_t d = 0; d < loops; d++)
        turns *= m->extent[d];
    return turns;
}

/* Copies rows of contiguous bytes. Each core copies rows, or runs of rows if there are many runs. */
static ME_APART void move_rows(const me_transpose_s8_tile *m)
{
    const int32_t inner = m->loops - 1, width = m->extent[inner], in_run = m->extent[inner - 1];
    const int32_t runs = iterations_of(m, inner - 1), rows = runs * in_run;
    const int32_t whole = inner > 1 && runs >= MANY_ROWS, loop = whole ? inner - 2 : inner - 1;
    const int32_t units = whole ? runs : rows, each = whole ? in_run : 1;
    int32_t left = ME_LAST(units) - ME_FIRST(units);
    loop_position at = indices_at(m, loop, ME_FIRST(units));
    me_row_runs part = {
        .to = m->to + ME_FIRST(units) * each * width,
        .rows = each,
        .bytes = width,
        .row_step = m->step[inner - 1],
        .run_step = m->step[loop],
    };
    for (; left > 0;
         left -= part.runs, part.to += part.runs * each * width, skip_iterations(m, &at, part.runs)) {
        part.from = at.from;
        part.runs = me_min(m->extent[loop] - at.index[loop], left);
        me_copy_runs(&part);
    }
}

void me_transpose_s8(const me_transpose_s8_params *op, const me_transpose_s8_tile *tile)
{
    const int32_t inner = tile->loops - 1;
    (void)op;
    if (inner == 0) {
        move_line(tile);
        return;
    }
    if (tile->step[inner] == 1 && iterations_of(tile, inner) >= MANY_ROWS) {
        move_rows(tile);
        return;
    }
    const int32_t loop = column_loop(tile);
    const me_plane plane = { tile->extent[inner], tile->extent[loop], tile->step[inner], tile->step[loop],
                             bytes_per_iteration(tile, loop) };
    each_plane(tile, &plane, loop);
}
