/* Functions of 16 bits that jump; see test_segments_s16.py for the numbers. */
#include "me_functions_s16.h"

#include "drawn.h"

static me_segments_s16_params op ME_L1;
static me_segments_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    op = (me_segments_s16_params){ n[0], n[1], in + n[2] };
    tile = (me_segments_s16_tile){ (const int16_t *)(const void *)(in + n[3]), out, n[4] };
}

static void run_case(void) { me_segments_s16(&op, &tile); }
