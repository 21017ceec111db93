/* Products of 16 bits; see test_wide_conv.py for the numbers. */
#include "me_conv_s16.h"

#include "drawn.h"

static me_conv_s16_params op ME_L1;
static me_conv_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    const int8_t *table = n[13] < 0 ? 0 : in + n[13];
    op = (me_conv_s16_params){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], { n[10], n[11], n[12], table } };
    tile = (me_conv_s16_tile){ in + n[14], n[15], n[16], n[17], n[18], (const int16_t *)(const void *)(in + n[19]),
                             (const me_channel *)(const void *)(in + n[20]), out, n[21], n[22], n[23],
                             (int16_t *)(void *)scratch };
}

static void run_case(void)
{
    me_conv_s16(&op, &tile);
}
