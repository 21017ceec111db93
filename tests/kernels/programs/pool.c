/* Pooling and reductions; see test_pool.py for the numbers. */
#include "me_pool.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_pool_tile tile ME_L1;
static me_avg_pool average ME_L1;
static me_reduce reduce ME_L1;
static const int8_t *from ME_L1;
static int8_t *to ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    const me_scale scale = { n[1], n[2], n[3], n[4] < 0 ? 0 : in + n[4] };
    const me_channel *each = (const me_channel *)(void *)(in + n[5]);
    from = in + n[6];
    to = out;
    if (kind == 2) {
        reduce = (me_reduce){ n[7], n[8], n[9], n[10], each, scale };
        return;
    }
    average = (me_avg_pool){ n[7], n[8], each, scale };
    tile = (me_pool_tile){ from, n[9], n[10], (const me_window *)(void *)(in + n[11]),
                           (const me_window *)(void *)(in + n[12]), n[13], n[14], out, n[9] };
}

static void run_case(void)
{
    if (kind == 0)
        me_max_pool_run(&tile);
    else if (kind == 1)
        me_avg_pool_run(&average, &tile);
    else
        me_reduce_run(&reduce, from, to);
}
