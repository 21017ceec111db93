/* Selective scans of 16 bits; see test_selective_scan_s16.py for the numbers. */
#include "me_selective_scan_s16.h"

#include "drawn.h"

static me_selective_scan_s16_params op ME_L1;
static me_selective_scan_s16_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    op = (me_selective_scan_s16_params){
        n[0],  n[1],  n[2],  n[3],  n[4],  n[5],  n[6],  n[7],  n[8], n[9],       n[10],
        n[11], n[12], n[13], n[14], n[15], n[16], n[17], n[18], 0,    in + n[19], scratch,
    };
    tile = (me_selective_scan_s16_tile){
        in + n[20],
        in + n[21],
        in + n[22],
        in + n[23],
        (const int32_t *)(const void *)(in + n[24]),
        (const me_selective_wide_channel *)(const void *)(in + n[25]),
        out,
        1,
        n[26],
        0,
    };
}

static void run_case(void) { me_selective_scan_s16(&op, &tile); }
