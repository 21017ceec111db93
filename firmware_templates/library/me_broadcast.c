/* SPDX-License-Identifier: Apache-2.0 */
#include "me_broadcast.h"

#include "me_intrinsics.h"
#include "me_table.h"

#define MANY_ROWS 32    /* from this number of rows on, cores may share whole rows */
#define TOGETHER 4      /* rows per iteration of a block; together they are whole words */
#define SHORT_ROW 32    /* maximum elements of a short row */
#define WORD_ROW 128    /* maximum elements of a row of whole words that run_nest() handles */
#define EVEN_TURNS 64   /* minimum iterations of a loop whose shares are about equal */
#define AT_A_TIME 128   /* elements that one call of the row kernel gets as copies */
#define EVEN_SHARES 96 /* from this number of rows on, a core's share is a multiple of TOGETHER rows */

/* Advances to the next row: increments the indices of the loops around a row, from the inner one outwards. */
static void next_row(const me_binary_s8_tile *tile, int32_t *index, const int8_t **a, const int8_t **b)
{
    for (int32_t d = tile->loops - 2; d >= 0; d--) {
        *a += tile->a_step[d];
        *b += tile->b_step[d];
        if (++index[d] < tile->extent[d])
            return;
        *a -= tile->a_step[d] * index[d];
        *b -= tile->b_step[d] * index[d];
        index[d] = 0;
    }
}

/* Computes the indices of the loops around row `row_number` and the operands' addresses there. */
static void set_index(const me_binary_s8_tile *tile, int32_t row_number, int32_t *index, const int8_t **a,
                      const int8_t **b)
{
    for (int32_t d = tile->loops - 2; d >= 0; d--) {
        const int32_t turns =
            d == 0 ? 0 : row_number / tile->extent[d]; /* no division, 35 cycles, if d is 0 */
        index[d] = row_number - turns * tile->extent[d];
        row_number = turns;
        *a += index[d] * tile->a_step[d];
        *b += index[d] * tile->b_step[d];
    }
}

static int32_t rows_of(const me_binary_s8_tile *tile)
{
    int32_t n = 1;
    for (int32_t d = 0; d < tile->loops - 1; d++)
        n *= tile->extent[d];
    return n;
}

/* This core's remaining rows of a result with short rows, starting at row `first`. */
typedef struct {
    const me_binary_s8_tile *tile;
    const int8_t *a, *b;
    int8_t *y;
    int32_t width, left, index[ME_LOOPS];
} me_short_rows;

/* Copies of parts of the operands. Writes are whole words and may exceed the last element. */
typedef struct {
    _Alignas(4) int8_t a[AT_A_TIME + 4], b[AT_A_TIME + 4], order[TOGETHER * SHORT_ROW + 4];
} me_copies;

static int8_t *put_repeated(int8_t *to, int8_t value, int32_t n)
{
    int8_t *const end = to + n;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    do
        me_put_w(&to, word);
    while (to < end);
    return end;
}

static int8_t *put_row(int8_t *to, const int8_t *x, int32_t step, int32_t n)
{
    if (step == 0)
        return put_repeated(to, *x, n);
    for (const int8_t *const end = to + n; to < end;)
        *to++ = *x++;
    return to;
}

/* Copies a row of n elements `rows` times, contiguously. */
static void put_rows(int8_t *to, const int8_t *x, int32_t n, int32_t rows)
{
    int8_t *at = put_row(to, x, 1, n), *const end = to + rows * n;
    const int8_t *from = to;
    while (n < 4 && at < end)
        *at++ = *from++;
    while (at < end)
        me_put_w(&at, me_next_w(&from));
}

/* Writes the row index 0 .. TOGETHER - 1 for each element of a block of rows: the shuffle order of
 * me_word_loops. */
static void make_shuffle_order(int8_t *order, int32_t width)
{
    for (int32_t r = 0; r < TOGETHER; r++)
        order = put_repeated(order, (int8_t)r, width);
}

/* -> the elements of TOGETHER rows of an operand: the operand itself if its rows are contiguous, otherwise
 * `copy` with the repeated row. *turn: bytes to add to the address after each iteration. */
static const int8_t *operand_rows(const int8_t *x, int32_t row_step, int32_t width, int8_t *copy,
                                  int32_t *turn)
{
    *turn = row_step == width ? 0 : -TOGETHER * width;
    if (row_step == width)
        return x;
    put_rows(copy, x, width, TOGETHER);
    return copy;
}

/* Computes n rows, a multiple of TOGETHER, without crossing the end of the middle loop. */
static void run_block(const me_short_rows *at, me_word_loops_kernel *kernel, const void *op, int32_t n,
                      me_copies *copies)
{
    const int32_t inner = at->tile->loops - 1, width = at->width;
    const int32_t a_row = at->tile->a_step[inner - 1], b_row = at->tile->b_step[inner - 1];
    const bool swapped = at->tile->b_step[inner] == 0, spread = swapped || at->tile->a_step[inner] == 0;
    const int8_t *a = swapped ? at->b : at->a, *b = swapped ? at->a : at->b;
    me_word_loops block = {
        .y = at->y,
        .turns = n / TOGETHER,
        .words = width,
        .runs = 1,
        .a_word = 4,
        .b_word = 4,
        .swapped = swapped,
    };
    block.b = operand_rows(b, swapped ? a_row : b_row, width, copies->b, &block.b_turn);
    block.a = spread ? a : operand_rows(a, a_row, width, copies->a, &block.a_turn);
    if (spread) {
        block.a_turn = TOGETHER;
        block.order = copies->order;
    }
    kernel(op, &block);
}

/* Advances by n rows. The last of them may be the last row of the middle loop. */
static void skip_rows(me_short_rows *at, int32_t n)
{
    const int32_t middle = at->tile->loops - 2;
    at->y += n * at->width;
    at->left -= n;
    at->index[middle] += n - 1;
    at->a += at->tile->a_step[middle] * (n - 1);
    at->b += at->tile->b_step[middle] * (n - 1);
    next_row(at->tile, at->index, &at->a, &at->b);
}

/* Computes up to n rows from contiguous copies of both operands. */
static void run_copies(me_short_rows *at, me_row_kernel *row, const void *op, int32_t n, me_copies *copies)
{
    const int32_t inner = at->tile->loops - 1, width = at->width;
    int8_t *const y = at->y, *a = copies->a, *b = copies->b;
    for (int32_t i = me_min(n, me_min(AT_A_TIME / width, at->left)); i > 0; i--) {
        a = put_row(a, at->a, at->tile->a_step[inner], width);
        b = put_row(b, at->b, at->tile->b_step[inner], width);
        skip_rows(at, 1);
    }
    row(op, copies->a, copies->b, y, (int32_t)(at->y - y), 1, 1);
}

/* Whether run_block() supports the operand: contiguous rows, one repeated row, or one element per row. */
static bool is_regular(const int32_t *step, int32_t inner, int32_t width)
{
    return step[inner] == 0 ? step[inner - 1] == 1 : step[inner - 1] == 0 || step[inner - 1] == width;
}

static bool allows_blocks(const me_binary_s8_tile *tile, int32_t inner, int32_t width)
{
    return is_regular(tile->a_step, inner, width) && is_regular(tile->b_step, inner, width)
        && (tile->a_step[inner] == 1 || tile->b_step[inner] == 1);
}

/* noinline: operands of equal shapes, the common case, then do not load this code. */
static __attribute__((noinline)) void each_short_row(const me_binary_s8_tile *tile, me_row_kernel *row,
                                                     me_word_loops_kernel *block, const void *op,
                                                     int32_t first, int32_t last)
{
    const int32_t inner = tile->loops - 1, middle = inner - 1, width = tile->extent[inner];
    const bool blocks = block && allows_blocks(tile, inner, width);
    me_short_rows at = {
        .tile = tile,
        .a = tile->a,
        .b = tile->b,
        .y = tile->y + first * width,
        .width = width,
        .left = last - first,
    };
    me_copies copies;
    set_index(tile, first, at.index, &at.a, &at.b);
    if (blocks)
        make_shuffle_order(copies.order, width);
    while (at.left > 0) {
        const int32_t together = me_min(at.left, tile->extent[middle] - at.index[middle]),
                      n = together & -TOGETHER;
        if (blocks && n > 0) {
            run_block(&at, block, op, n, &copies);
            skip_rows(&at, n);
        } else
            run_copies(&at, row, op, blocks && tile->extent[middle] >= TOGETHER ? together : at.left,
                       &copies);
    }
}

/* A loop over words: its extent, and the bytes by which an iteration advances each operand. */
typedef struct {
    int32_t extent, a, b;
} me_word_loop;

#define NEST 3 /* number of loops of me_word_loops */

/* Lists the loops over the words of a result, the innermost first. -> their number; 0: more than NEST */
static int32_t word_loops(const me_binary_s8_tile *tile, me_word_loop *loops)
{
    const int32_t inner = tile->loops - 1, width = tile->extent[inner];
    int32_t n = 0;
    if (width > 4)
        loops[n++] = (me_word_loop){ width / 4, 4 * tile->a_step[inner], 4 * tile->b_step[inner] };
    if (n + inner > NEST)
        return 0;
    for (int32_t d = inner - 1; d >= 0; d--)
        loops[n++] = (me_word_loop){ tile->extent[d], tile->a_step[d], tile->b_step[d] };
    for (int32_t d = n; d < NEST; d++)
        loops[d] = (me_word_loop){ 1, 0, 0 };
    return n;
}

/* -> the outermost loop that divides evenly among 8 cores; -1: none. A core's share of y is contiguous, or
 * contiguous within each run of me_word_loops. */
static int32_t loop_to_share(const me_word_loop *loops, int32_t n)
{
    for (int32_t d = n - 1; d >= (n > 1); d--)
        if (loops[d].extent >= EVEN_TURNS || loops[d].extent % 8 == 0)
            return d;
    return -1;
}

static void look_up(const int8_t *table, const me_word_loops *block)
{
    const int32_t n = 4 * block->words * block->turns;
    int8_t *y = block->y;
    for (int32_t run = 0; run < block->runs; run++, y += n + block->y_run)
        me_table_row(table, y, y, n);
}

/* Computes rows of whole words as one block of three loops. -> false if the shape does not allow it */
static __attribute__((noinline)) bool run_nest(const me_binary_s8_tile *tile, me_word_loops_kernel *kernel,
                                               const void *op, const int8_t *table)
{
    const int32_t inner = tile->loops - 1;
    const bool swapped = tile->b_step[inner] == 0, single = swapped || tile->a_step[inner] == 0;
    me_word_loop loops[NEST];
    const int32_t n = word_loops(tile, loops), shared = n > 0 ? loop_to_share(loops, n) : -1;
    if (shared < 0 || tile->a_step[inner] + tile->b_step[inner] == 0)
        return false;
    me_word_loop *own = &loops[shared];
    const int32_t all = own->extent, first = ME_FIRST(all), left = ME_LAST(all) - first;
    const int32_t below = shared == 0 ? 4 : 4 * loops[0].extent * (shared == 1 ? 1 : loops[1].extent);
    if (left == 0)
        return true;
    own->extent = left;
    const int8_t *a = tile->a + first * own->a, *b = tile->b + first * own->b;
    const me_word_loop words = loops[0], turns = loops[1], runs = loops[2];
    const int32_t a_turn = turns.a - words.extent * words.a, b_turn = turns.b - words.extent * words.b;
    const int32_t a_run = runs.a - turns.extent * turns.a, b_run = runs.b - turns.extent * turns.b;
    const me_word_loops block = {
        .a = swapped ? b : a,
        .b = swapped ? a : b,
        .y = tile->y + first * below,
        .words = words.extent,
        .turns = turns.extent,
        .runs = runs.extent,
        .a_word = swapped ? words.b : words.a,
        .b_word = swapped ? words.a : words.b,
        .a_turn = swapped ? b_turn : a_turn,
        .b_turn = swapped ? a_turn : b_turn,
        .a_run = swapped ? b_run : a_run,
        .b_run = swapped ? a_run : b_run,
        /* cppcheck-suppress duplicateValueTernary ; equal on hosts only, whose one core has all iterations */
        .y_run = shared == 1 ? (all - left) * below : 0,
        .order = 0,
        .single = single,
        .swapped = swapped,
    };
    kernel(op, &block);
    if (table)
        look_up(table, &block);
    return true;
}

/* Shares whole rows among the cores. -> false if the shape does not allow it */
static __attribute__((noinline)) bool run_rows(const me_binary_s8_tile *tile, me_row_kernel *row,
                                               me_word_loops_kernel *block, const void *op,
                                               const int8_t *table)
{
    const int32_t rows = rows_of(tile), width = tile->extent[tile->loops - 1];
    if (block && width % 4 == 0 && width <= WORD_ROW && run_nest(tile, block, op, table))
        return true;
    if (rows < MANY_ROWS || width > SHORT_ROW)
        return false;
    const int32_t unit = rows >= EVEN_SHARES ? TOGETHER : 1;
    const int32_t shares = unit == 1 ? rows : (rows + TOGETHER - 1) / TOGETHER;
    const int32_t first = unit * ME_FIRST(shares), last = me_min(unit * ME_LAST(shares), rows);
    each_short_row(tile, row, block, op, first, last);
    if (table && last > first)
        me_table_row(table, tile->y + first * width, tile->y + first * width, (last - first) * width);
    return true;
}

/* Computes this core's share of the elements, which may start and end inside a row. */
static __attribute__((noinline)) void run_part(const me_binary_s8_tile *tile, me_row_kernel *row,
                                               const void *op, const me_part *part)
{
    const int32_t inner = tile->loops - 1, width = tile->extent[inner];
    const int32_t a_step = tile->a_step[inner], b_step = tile->b_step[inner];
    const int8_t *a = tile->a, *b = tile->b;
    int32_t index[ME_LOOPS];
    int32_t left = part->last - part->first, row_number = part->first / width;
    int32_t column = part->first - row_number * width;
    set_index(tile, row_number, index, &a, &b);
    for (int8_t *y = tile->y + part->first; left > 0; column = 0) {
        const int32_t n = width - column < left ? width - column : left;
        row(op, a + column * a_step, b + column * b_step, y, n, a_step, b_step);
        y += n;
        left -= n;
        next_row(tile, index, &a, &b);
    }
}

void me_each_row(const me_binary_s8_tile *tile, me_row_kernel *row, me_word_loops_kernel *block,
                 const void *op, const int8_t *table)
{
    if (tile->loops > 1 && run_rows(tile, row, block, op, table))
        return;
    const me_part part = me_part_of(rows_of(tile) * tile->extent[tile->loops - 1]);
    const int32_t n = part.last - part.first, a_step = tile->a_step[0], b_step = tile->b_step[0];
    int8_t *const y = tile->y + part.first;
    if (n <= 0)
        return;
    if (tile->loops == 1)
        row(op, tile->a + part.first * a_step, tile->b + part.first * b_step, y, n, a_step, b_step);
    else
        run_part(tile, row, op, &part);
    if (table)
        me_table_row(table, y, y, n);
}
