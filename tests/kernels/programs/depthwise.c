/* Depthwise and grouped convolution; see test_depthwise.py for the numbers. */
#include "me_depthwise_conv_s8.h"
#include "me_depthwise_lines_s8.h"
#include "me_group_conv_s8.h"

#include "drawn.h"

static me_conv_s8_params conv ME_L1;
static me_conv_s8_tile tile ME_L1;
static me_group_conv_s8_params grouped ME_L1;
static me_depthwise_lines_s8_params lines ME_L1;
static me_depthwise_lines_s8_tile lines_tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    conv = (me_conv_s8_params){ .c = n[1],
                                .k_h = n[2],
                                .k_w = n[3],
                                .stride_h = n[4],
                                .stride_w = n[5],
                                .dilation_h = n[6],
                                .dilation_w = n[7],
                                .x_zero = n[8] };
    conv.scale = (me_scale){ n[9], n[10], n[11], n[12] < 0 ? 0 : in + n[12] };
    grouped = (me_group_conv_s8_params){ .c = n[1],
                                         .k_h = n[2],
                                         .k_w = n[3],
                                         .stride_h = n[4],
                                         .stride_w = n[5],
                                         .dilation_h = n[6],
                                         .dilation_w = n[7],
                                         .x_zero = n[8],
                                         .scale = conv.scale,
                                         .groups = n[0] };
    tile = (me_conv_s8_tile){ .x = in + n[13],
                              .h = n[14],
                              .w = n[15],
                              .pad_top = n[16],
                              .pad_left = n[17],
                              .row_stride = n[18],
                              .weights = in + n[19],
                              .channels = (const me_channel *)(void *)(in + n[20]),
                              .y = out,
                              .oh = n[21],
                              .ow = n[22],
                              .k = n[23],
                              .y_stride = n[24],
                              .scratch = scratch };
    lines = (me_depthwise_lines_s8_params){ conv, n[25], n[26], n[27] };
    lines_tile = (me_depthwise_lines_s8_tile){ tile, n[28], n[29] };
}

static void run_case(void)
{
    if (grouped.groups == 0)
        me_depthwise_conv_s8(&conv, &tile);
    else if (grouped.groups < 0)
        me_depthwise_lines_s8(&lines, &lines_tile);
    else
        me_group_conv_s8(&grouped, &tile);
}
