/* Group norm of 16 bits; see test_norm.py for the numbers. */
#include "me_group_norm.h"

#include "drawn.h"

static me_group_norm_s16_params op ME_L1;
static me_group_norm_s16_tile tile ME_L1;
static me_group_moments moments[64] ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    op = (me_group_norm_s16_params){
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], { 0, n[10], n[11], 0 }, n[12], n[13]
    };
    tile = (me_group_norm_s16_tile){ in + n[15], out,   (const me_gain *)(const void *)(in + n[14]),
                                     moments,    n[16], n[17] };
}

static void run_case(void) { me_group_norm_s16(&op, &tile); }
