/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_rest.h"

#include "me_depthwise_conv_s8.h"

/* From unit `at` of the input's axis on: the number of existing input units, and the padding before the
 * first result's window. */
typedef struct {
    int32_t first, n, pad;
} extent;

static extent behind(int32_t at, int32_t n, int32_t pad)
{
    const int32_t from = at - pad, first = from < 0 ? 0 : from < n ? from : n;
    return (extent){ first, n - first, first - from };
}

void me_ne16_rest(const me_ne16_jobs_params *op, const me_ne16_jobs_tile *tile)
{
    const int32_t units = me_ne16_units_of(tile);
    const me_conv_s8_params *conv = &op->conv;
    me_conv_s8_tile rest = tile->conv;
    if (op->form & ME_NE16_RUN) {
        const extent columns = behind(units * conv->stride_w, rest.w, rest.pad_left);
        rest.x += columns.first * rest.k;
        rest.w = columns.n;
        rest.pad_left = columns.pad;
        rest.ow -= units;
    } else {
        const extent rows = behind(units * conv->stride_h, rest.h, rest.pad_top);
        rest.x += rows.first * rest.row_stride;
        rest.h = rows.n;
        rest.pad_top = rows.pad;
        rest.oh -= units;
    }
    rest.y += units * tile->unit_bytes;
    rest.weights = tile->rest.weights;
    rest.channels = tile->rest.channels;
    rest.scratch = tile->rest.scratch;
    if (rest.oh > 0 && rest.ow > 0)
        me_depthwise_conv_s8(conv, &rest);
}
