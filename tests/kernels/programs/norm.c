/* Layer norm and RMS norm; see test_norm.py for the numbers. */
#include "me_norm.h"

#define HELPED
#include "drawn.h"

static me_norm_to_s8_params op ME_L1;
static me_norm_to_s8_tile tile ME_L1;
static me_norm_to_s16_tile tile_s16 ME_L1;
static int32_t y_wide ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    op = (me_norm_to_s8_params){ n[0],  n[1], n[2],
                                 n[3],  n[4], n[5],
                                 n[6],  n[7], (const me_gain *)(const void *)(in + n[8]),
                                 n[11], n[12] };
    tile = (me_norm_to_s8_tile){ in + n[9], out, n[10] };
    tile_s16 = (me_norm_to_s16_tile){ in + n[9], out, n[10] };
    y_wide = n[13];
}

static inline int32_t nine_cores(void) { return op.nine_cores; }

static void run_case(void)
{
    if (y_wide)
        me_norm_to_s16(&op, &tile_s16);
    else
        me_norm_to_s8(&op, &tile);
}
