/* Sums of 16 bits; see test_wide.py for the numbers. */
#include "me_elementwise.h"

#define HELPED
#include "drawn.h"

static me_add_s16_params op ME_L1;
static me_add_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    op = (me_add_s16_params){ n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], 0, 0, n[15] };
    tile = (me_add_s16_tile){ in + n[9], in + n[10], out, n[11], n[12], n[13], n[14] };
}

static inline int32_t nine_cores(void) { return op.nine_cores; }

static void run_case(void) { me_add_s16(&op, &tile); }
