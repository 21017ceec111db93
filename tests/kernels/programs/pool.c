/* Pooling and reductions; see test_pool.py for the numbers. */
#include "me_pool.h"
#include "me_reduce_s8.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_pool_s8_tile tile ME_L1;
static me_avg_pool_s8_params average ME_L1;
static const me_max_pool_s8_params maximum = { 0 };
static me_reduce_s8_params reduce ME_L1;
static me_reduce_s8_tile rows ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    const me_scale scale = { n[1], n[2], n[3], n[4] < 0 ? 0 : in + n[4] };
    const me_channel *each = (const me_channel *)(void *)(in + n[5]);
    const int8_t *from = in + n[6];
    if (kind == 2) {
        reduce = (me_reduce_s8_params){ n[8], n[10], each, scale };
        rows = (me_reduce_s8_tile){ from, out, n[7], n[9] };
        return;
    }
    average = (me_avg_pool_s8_params){ n[7], n[8], each, scale };
    tile = (me_pool_s8_tile){ from,
                              n[9],
                              n[10],
                              (const me_window *)(void *)(in + n[11]),
                              (const me_window *)(void *)(in + n[12]),
                              n[13],
                              n[14],
                              out,
                              n[9] };
}

static void run_case(void)
{
    if (kind == 0)
        me_max_pool_s8(&maximum, &tile);
    else if (kind == 1)
        me_avg_pool_s8(&average, &tile);
    else
        me_reduce_s8(&reduce, &rows);
}
