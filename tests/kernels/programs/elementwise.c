/* Sums, products, channels and tables; see test_elementwise.py for the numbers. */
#include "me_elementwise.h"

#include "drawn.h"

static int32_t kind ME_L1, size ME_L1;
static me_pair pair ME_L1;
static me_add add ME_L1;
static me_mul mul ME_L1;
static me_affine affine ME_L1;
static const int8_t *table ME_L1, *from ME_L1;
static int8_t *to ME_L1;

static void set_pair(const int32_t *n, int8_t *in, int8_t *out)
{
    pair.a = in + n[0];
    pair.b = in + n[1];
    pair.y = out;
    pair.loops = n[2];
    for (int32_t d = 0; d < pair.loops; d++) {
        pair.extent[d] = n[3 + 3 * d];
        pair.a_step[d] = n[4 + 3 * d];
        pair.b_step[d] = n[5 + 3 * d];
    }
}

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    table = n[1] < 0 ? 0 : in + n[1];
    to = out;
    const me_scale scale = { n[2], n[3], n[4], table };
    if (kind == 0) {
        add = (me_add){ n[5], n[6], n[7], n[8], scale };
        set_pair(n + 9, in, out);
    } else if (kind == 1) {
        mul = (me_mul){ n[5], n[6], n[7], n[8], n[9], scale };
        set_pair(n + 10, in, out);
    } else if (kind == 2) {
        affine = (me_affine){ n[5], n[6], n[7], n[8], (const me_channel *)(void *)(in + n[9]), scale };
        from = in + n[10];
    } else {
        from = in + n[5];
        size = n[6];
    }
}

static void run_case(void)
{
    if (kind == 0)
        me_add_run(&add, &pair);
    else if (kind == 1)
        me_mul_run(&mul, &pair);
    else if (kind == 2)
        me_affine_run(&affine, from, to);
    else
        me_table_run(table, from, to, size);
}
