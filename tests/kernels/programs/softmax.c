/* Softmax, log-softmax; see test_softmax.py for the numbers. */
#include "me_softmax.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_softmax_s8_params softmax ME_L1;
static me_log_softmax_s8_params log_softmax ME_L1;
static me_masked_softmax_s8_params masked ME_L1;
static me_softmax_s8_tile tile ME_L1;
static me_masked_softmax_s8_tile masked_tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    tile = (me_softmax_s8_tile){ .x = in + n[4], .y = out, .outer = n[1], .inner = n[3] };
    const uint16_t *exp = (const uint16_t *)(const void *)(in + n[5]);
    softmax = (me_softmax_s8_params){ .length = n[2], .exp = exp };
    log_softmax = (me_log_softmax_s8_params){
        .length = n[2],
        .exp = exp,
        .log = (const int16_t *)(const void *)(in + n[6]),
        .ln2 = n[7],
        .mult = n[8],
        .log_mult = n[9],
        .offset = n[10],
        .shift = n[11],
        .low = n[12],
        .high = n[13],
    };
    masked = (me_masked_softmax_s8_params){ .length = n[2], .exp = exp, .flat = n[16] };
    masked_tile = (me_masked_softmax_s8_tile){
        .x = in + n[4],
        .mask = in + n[14],
        .y = out,
        .repeats = n[1] / n[15],
        .rows = n[15],
        .inner = n[3],
    };
}

static void run_case(void)
{
    if (kind == 0)
        me_softmax_s8(&softmax, &tile);
    else if (kind == 1)
        me_log_softmax_s8(&log_softmax, &tile);
    else
        me_masked_softmax_s8(&masked, &masked_tile);
}
