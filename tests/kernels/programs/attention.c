/* Attention; see test_attention.py for the numbers. */
#include "me_attention.h"

#include "drawn.h"

static me_attention op ME_L1;
static me_attention_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    op = (me_attention){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12],
                         n[13], n[14], (const uint8_t *)(in + n[15]) };
    tile = (me_attention_tile){ in + n[16], in + n[17], in + n[18], n[19] < 0 ? 0 : in + n[19], out,
                                scratch, n[20], n[21] };
}

static void run_case(void)
{
    me_attention_run(&op, &tile);
}
