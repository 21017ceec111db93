/* Rows of int16 with weights of bytes; see test_split_rows.py for the numbers. */
#include "me_linear_s16.h"

#include "drawn.h"

static me_linear_s16_params op ME_L1;
static me_linear_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    op = (me_linear_s16_params){ n[0], n[1], n[2], { n[3], n[4], n[5], n[6] < 0 ? 0 : in + n[6] } };
    tile = (me_linear_s16_tile){ .x = in + n[7],
                                 .weights = in + n[8],
                                 .channels = (const me_channel *)(const void *)(in + n[9]),
                                 .rows = n[10],
                                 .k = n[11],
                                 .y = out,
                                 .scratch = scratch };
}

static void run_case(void) { me_linear_s16(&op, &tile); }
