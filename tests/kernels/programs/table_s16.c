/* Functions of numbers of 8 or 16 bits; see test_table_s16.py for the numbers. */
#include "me_functions_s16.h"

#include "drawn.h"

static me_table_s16_params op ME_L1;
static me_table_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    op = (me_table_s16_params){ n[0], n[1], n[2], (const int16_t *)(const void *)(in + n[3]) };
    tile = (me_table_s16_tile){ in + n[4], out, n[5] };
}

static void run_case(void) { me_table_s16(&op, &tile); }
