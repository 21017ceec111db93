/* Copies, constants and permutations; see test_move.py for the numbers. */
#include "me_copy_rows.h"
#include "me_layout.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_copy_s8_params filled ME_L1;
static me_copy_s8_tile fill ME_L1;
static me_copy_part part ME_L1;
static const me_transpose_s8_params nothing = { 0 };
static me_transpose_s8_tile transpose ME_L1;
static const me_transpose_s16_params no_halves = { 0 };
static me_transpose_s16_tile halves ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    filled = (me_copy_s8_params){ 1, n[2] };
    fill = (me_copy_s8_tile){ .y = out + n[3], .bytes = n[5] };
    if (kind == 3) {
        halves.from = (const int16_t *)(const void *)(in + n[1]);
        halves.to = (int16_t *)(void *)out;
        halves.loops = n[3];
        for (int32_t d = 0; d < halves.loops; d++) {
            halves.extent[d] = n[4 + 2 * d];
            halves.step[d] = n[5 + 2 * d];
        }
    } else if (kind == 2) {
        transpose.from = in + n[1];
        transpose.to = out;
        transpose.loops = n[3];
        for (int32_t d = 0; d < transpose.loops; d++) {
            transpose.extent[d] = n[4 + 2 * d];
            transpose.step[d] = n[5 + 2 * d];
        }
    } else
        part = (me_copy_part){ in + n[1], out + n[3], n[4], n[5], n[6], n[7] };
}

static void run_case(void)
{
    if (kind == 0)
        me_copy_rows(&part);
    else if (kind == 1)
        me_copy_s8(&filled, &fill);
    else if (kind == 2)
        me_transpose_s8(&nothing, &transpose);
    else
        me_transpose_s16(&no_halves, &halves);
}
