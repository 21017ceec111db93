/* SPDX-License-Identifier: Apache-2.0 */
#include "me_layout.h"

#include "me_half_rows.h"
#include "me_share.h"

static int32_t longest_loop(const me_transpose_s16_tile *m)
{
    int32_t longest = m->loops - 1;
    for (int32_t d = m->loops - 2; d >= 0; d--)
        longest = m->extent[d] > m->extent[longest] ? d : longest;
    return longest;
}

/* -> the distance in `to` between two iterations of a loop, in elements */
static int32_t step_of(const me_transpose_s16_tile *m, int32_t loop)
{
    int32_t step = 1;
    for (int32_t d = loop + 1; d < m->loops; d++)
        step *= m->extent[d];
    return step;
}

/* Moves iterations [first, first + n) of a loop, for iteration `number` of all other loops together. */
static void move_run(const me_transpose_s16_tile *m, int32_t loop, int32_t to_step, int32_t number,
                     int32_t first, int32_t n)
{
    const int16_t *from = m->from + first * m->step[loop];
    int16_t *to = m->to + first * to_step;
    for (int32_t d = m->loops - 1, step = 1; d >= 0; step *= m->extent[d], d--) {
        if (d == loop || m->extent[d] == 1)
            continue;
        const int32_t rest = number / m->extent[d], i = number - rest * m->extent[d];
        from += i * m->step[d];
        to += i * step;
        number = rest;
    }
    me_move_halves(from, to, n, 2 * m->step[loop], 2 * to_step);
}

void me_transpose_s16(const me_transpose_s16_params *op, const me_transpose_s16_tile *tile)
{
    const int32_t loop = longest_loop(tile), to_step = step_of(tile, loop), extent = tile->extent[loop];
    const int32_t total = step_of(tile, 0) * tile->extent[0], last = ME_LAST(total);
    (void)op;
    int32_t at = ME_FIRST(total), number = at / extent;
    for (int32_t turn = at - number * extent; at < last; number++, turn = 0) {
        const int32_t n = extent - turn < last - at ? extent - turn : last - at;
        move_run(tile, loop, to_step, number, turn, n);
        at += n;
    }
}
