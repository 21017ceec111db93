/* Copies, constants and permutations; see test_move.py for the numbers. */
#include "me_move.h"

#include "drawn.h"

static int32_t kind ME_L1, value ME_L1;
static me_moves moves ME_L1;
static me_permute permute ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    value = n[2];
    if (kind == 2) {
        permute.from = in + n[1];
        permute.to = out;
        permute.loops = n[3];
        for (int32_t d = 0; d < permute.loops; d++) {
            permute.extent[d] = n[4 + 2 * d];
            permute.step[d] = n[5 + 2 * d];
        }
    } else
        moves = (me_moves){ in + n[1], out + n[3], n[4], n[5], n[6], n[7] };
}

static void run_case(void)
{
    if (kind == 0)
        me_move_run(&moves);
    else if (kind == 1)
        me_fill_run(&moves, (int8_t)value);
    else
        me_permute_run(&permute);
}
