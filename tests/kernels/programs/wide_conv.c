/* Products of 16 bits; see test_wide_conv.py for the numbers. */
#include "me_conv_s16.h"

#include "drawn.h"

static me_conv_s16_params op ME_L1;
static me_conv_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    const int8_t *table = n[13] < 0 ? 0 : in + n[13];
    op = (me_conv_s16_params){
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], { n[10], n[11], n[12], table }
    };
    tile = (me_conv_s16_tile){ .x = in + n[14],
                               .h = n[15],
                               .w = n[16],
                               .pad_top = n[17],
                               .pad_left = n[18],
                               .row_stride = n[19],
                               .weights = (const int16_t *)(const void *)(in + n[20]),
                               .channels = (const me_channel *)(const void *)(in + n[21]),
                               .y = out,
                               .oh = n[22],
                               .ow = n[23],
                               .k = n[24],
                               .in_place = n[25],
                               .scratch = (int16_t *)(void *)scratch };
}

static void run_case(void) { me_conv_s16(&op, &tile); }
