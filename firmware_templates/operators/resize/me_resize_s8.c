/* SPDX-License-Identifier: Apache-2.0 */
#include "me_resize.h"

#include "me_math.h"
#include "me_resize_lines.h"

static inline int32_t me_two(int32_t offset, int32_t left, int32_t right, const int8_t **x,
                             const int8_t **behind, int32_t step)
{
    return me_mac(me_mac(offset, me_step_b(x, step), left), me_step_b(behind, step), right);
}

/* Two neighbours, results one after the other: four are a word. */
static void dense_sums_of_two(const void *params, const int32_t *row, const int8_t *x, int8_t *y,
                              me_lines lines)
{
    const me_resize_s8_params *op = params;
    const int32_t offset = row[1], left = row[2], right = row[3], shift = op->shift;
    const int32_t low = op->scale.low, high = op->scale.high;
    const uint32_t lows = (uint32_t)(uint8_t)low * 0x01010101u, highs = (uint32_t)(uint8_t)high * 0x01010101u;
    const int32_t words = lines.count / 4, next = lines.next, x_image = lines.x_image,
                  y_image = lines.y_image;
    for (int32_t image = lines.images; image > 0; image--, x += x_image, y += y_image) {
        const int8_t *one = x, *two = x + next;
        int8_t *to = y;
        for (int32_t word = words; word > 0; word--) {
            const int32_t a = me_two(offset, left, right, &one, &two, 1) >> shift;
            const int32_t b = me_two(offset, left, right, &one, &two, 1) >> shift;
            const int32_t c = me_two(offset, left, right, &one, &two, 1) >> shift;
            const int32_t d = me_two(offset, left, right, &one, &two, 1) >> shift;
            const uint32_t four = me_pack_b(me_clips(a, 8), me_clips(b, 8), me_clips(c, 8), me_clips(d, 8));
            me_put_w(&to, me_min_b(me_max_b(four, lows), highs));
        }
        for (int32_t rest = lines.count % 4; rest > 0; rest--)
            *to++ = me_clip(me_two(offset, left, right, &one, &two, 1) >> shift, low, high);
    }
}

/* Two neighbours, results any number of bytes apart. */
static void sums_of_two(const void *params, const int32_t *row, const int8_t *x, int8_t *y, me_lines lines)
{
    const me_resize_s8_params *op = params;
    const int32_t offset = row[1], left = row[2], right = row[3], shift = op->shift;
    const int32_t low = op->scale.low, high = op->scale.high, step = lines.x_step, to_step = lines.y_step;
    const int8_t *two = x + lines.next;
    for (int32_t pair = lines.count / 2; pair > 0; pair--, y += 2 * to_step) {
        const int32_t a = me_two(offset, left, right, &x, &two, step) >> shift;
        const int32_t b = me_two(offset, left, right, &x, &two, step) >> shift;
        y[0] = (int8_t)me_min(me_max(a, low), high);
        y[to_step] = (int8_t)me_min(me_max(b, low), high);
    }
    if (lines.count % 2 > 0)
        *y = me_clip(me_two(offset, left, right, &x, &two, step) >> shift, low, high);
}

/* Any number of neighbours, results any number of bytes apart. */
static void sums(const void *params, const int32_t *row, const int8_t *x, int8_t *y, me_lines lines)
{
    const me_resize_s8_params op = *(const me_resize_s8_params *)params;
    const int32_t next = lines.next, step = lines.x_step, to_step = lines.y_step;
    for (int32_t image = lines.images; image > 0; image--, x += lines.x_image, y += lines.y_image) {
        const int8_t *from = x;
        int8_t *to = y;
        for (int32_t left = lines.count; left > 0; left--, from += step, to += to_step) {
            const int8_t *neighbour = from;
            int32_t sum = row[1];
            for (int32_t tap = 0; tap < op.taps; tap++)
                sum = me_mac(sum, me_step_b(&neighbour, next), row[2 + tap]);
            *to = me_clip(sum >> op.shift, op.scale.low, op.scale.high);
        }
    }
}

static me_lines_function *plain_sums(const me_resize_s8_params *op, int32_t dense)
{
    return op->taps != 2 ? sums : dense ? dense_sums_of_two : sums_of_two;
}

static void looked_up(const void *params, const int32_t *row, const int8_t *x, int8_t *y, me_lines lines)
{
    const me_resize_s8_params *op = params;
    plain_sums(op, lines.x_step == 1)(params, row, x, y, lines);
    for (int32_t image = 0; image < lines.images; image++, y += lines.y_image)
        for (int32_t i = 0; i < lines.count; i++)
            y[i * lines.y_step] = me_lookup(op->scale.table, y[i * lines.y_step]);
}

void me_resize_s8(const me_resize_s8_params *op, const me_resize_s8_tile *tile)
{
    me_each_result(tile, 2 + op->taps, op->scale.table ? looked_up : plain_sums(op, tile->inner > 1), op);
}
