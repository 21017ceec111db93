/* Softmax, log-softmax, argmax; see test_softmax.py for the numbers. */
#include "me_softmax.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_log_softmax op ME_L1;
static const int8_t *from ME_L1;
static int8_t *to ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    from = in + n[4];
    to = out;
    op.rows = (me_softmax){ n[1], n[2], n[3], (const uint16_t *)(const void *)(in + n[5]) };
    op.log = (const int16_t *)(const void *)(in + n[6]);
    op.ln2 = n[7];
    op.mult = n[8];
    op.log_mult = n[9];
    op.offset = n[10];
    op.shift = n[11];
    op.low = n[12];
    op.high = n[13];
}

static void run_case(void)
{
    if (kind == 0)
        me_softmax_run(&op.rows, from, to);
    else if (kind == 1)
        me_log_softmax_run(&op, from, to);
    else
        me_argmax_run(&op.rows, from, (int32_t *)(void *)to);
}
