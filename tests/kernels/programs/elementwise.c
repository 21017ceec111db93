/* Sums, products and tables; see test_elementwise.py for the numbers. */
#include "me_elementwise.h"
#include "me_intrinsics.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_binary_s8_tile pair ME_L1;
static me_add_s8_params add ME_L1;
static me_mul_s8_params mul ME_L1;
static me_table_s8_params table ME_L1;
static me_table_s8_tile elements ME_L1;
static me_tables_s8_tile columns ME_L1;

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

static int32_t bits_of(int32_t a_mult, int32_t b_mult, int32_t offset)
{
    if (a_mult == (int8_t)a_mult && b_mult == (int8_t)b_mult)
        return 8;
    const int64_t mults = (int64_t)me_abs(a_mult) + me_abs(b_mult),
                  reach = offset < 0 ? -(int64_t)offset : offset;
    return 128 * mults + reach < 1 << 23 ? 24 : 32;
}

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    table.table = n[1] < 0 ? 0 : in + n[1];
    const me_scale scale = { n[2], n[3], n[4], table.table };
    if (kind == 0) {
        add = (me_add_s8_params){ n[5], n[6], n[7], n[8], scale, bits_of(n[5], n[6], n[7]) };
        set_pair(n + 9, in, out);
    } else if (kind == 1) {
        mul = (me_mul_s8_params){ n[5], n[6], n[7], n[8], n[9], scale };
        set_pair(n + 10, in, out);
    } else if (kind == 4) {
        columns = (me_tables_s8_tile){ in + n[5], in + n[6], out, n[7], n[8], n[9] };
    } else {
        elements = (me_table_s8_tile){ in + n[5], out, n[6] };
    }
}

static void run_case(void)
{
    if (kind == 0)
        me_add_s8(&add, &pair);
    else if (kind == 1)
        me_mul_s8(&mul, &pair);
    else if (kind == 4)
        me_tables_s8(&(me_tables_s8_params){ 0 }, &columns);
    else
        me_table_s8(&table, &elements);
}
