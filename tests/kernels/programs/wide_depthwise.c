/* Depthwise products of 16 bits; see test_wide_depthwise.py for the numbers. */
#include "me_depthwise_conv_s16.h"

#include "drawn.h"

static me_depthwise_conv_s16_params op ME_L1;
static me_depthwise_conv_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    op = (me_depthwise_conv_s16_params){ n[0], n[1], n[2], n[3], n[4],
                                         n[5], n[6], n[7], n[8], { n[9], n[10], n[11], 0 } };
    tile = (me_depthwise_conv_s16_tile){ .x = in + n[12],
                                         .h = n[13],
                                         .w = n[14],
                                         .pad_top = n[15],
                                         .pad_left = n[16],
                                         .weights = (const int16_t *)(const void *)(in + n[17]),
                                         .channels = (const me_channel *)(const void *)(in + n[18]),
                                         .y = out,
                                         .oh = n[19],
                                         .ow = n[20],
                                         .k = n[21],
                                         .scratch = (int16_t *)(void *)scratch };
}

static void run_case(void) { me_depthwise_conv_s16(&op, &tile); }
