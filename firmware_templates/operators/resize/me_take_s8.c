/* SPDX-License-Identifier: Apache-2.0 */
#include "me_resize.h"

#include "me_copy_rows.h"
#include "me_resize_lines.h"

static void copies(const void *params, const int32_t *row, const int8_t *x, int8_t *y, me_lines lines)
{
    (void)params, (void)row;
    if (lines.y_step != 1) {
        me_copy_bytes(x, y, lines.count, lines.x_step, lines.y_step);
        return;
    }
    for (int32_t image = 0; image < lines.images; image++) {
        me_copy_piece(x, y, lines.count);
        x += lines.x_image;
        y += lines.y_image;
    }
}

void me_take_s8(const me_take_s8_params *params, const me_take_s8_tile *tile)
{
    me_each_result(tile, 1, copies, params);
}
