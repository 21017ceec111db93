/* Functions of rows, me_rows.h, me_norm_rows.h and me_softmax_rows.h; see test_rows.py for the numbers. */
#include "me_norm_rows.h"
#include "me_rows.h"
#include "me_softmax_rows.h"

#include "drawn.h"

static int32_t kind ME_L1, length ME_L1, bits ME_L1, shift ME_L1;
static me_line line ME_L1;
static const int8_t *x ME_L1, *pairs ME_L1;
static int8_t *y ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    kind = n[0];
    length = n[1];
    bits = n[2];
    line = (me_line){ n[3], n[4], n[5] };
    shift = n[6];
    pairs = in + n[7];
    x = in + n[8];
    y = out;
}

static void sums_of_bytes(int32_t *found)
{
    const me_moments moments = me_moments_b(x, length);
    const me_extremes extremes = me_extremes_b(x, length);
    found[0] = me_total_b(x, length);
    found[1] = me_squares_b(x, length);
    found[2] = me_most_b(x, length);
    found[3] = me_least_b(x, length);
    found[4] = moments.total;
    found[5] = moments.squares;
    found[6] = extremes.most;
    found[7] = extremes.least;
    found[8] = me_argmax_b(x, length);
}

static void sums_of_halves(int32_t *found)
{
    const int16_t *halves = (const int16_t *)(const void *)x;
    const me_moments moments = me_moments_h(halves, length),
                     shifted = me_moments_shifted_h(halves, bits, length);
    const me_extremes extremes = me_extremes_h(halves, length);
    found[0] = me_total_h(halves, length);
    found[1] = me_squares_h(halves, length);
    found[2] = me_most_h(halves, length);
    found[3] = me_least_h(halves, length);
    found[4] = moments.total;
    found[5] = moments.squares;
    found[6] = extremes.most;
    found[7] = extremes.least;
    found[8] = me_argmax_h(halves, length);
    found[9] = me_total_shifted_h(halves, bits, length);
    found[10] = me_squares_shifted_h(halves, bits, length);
    found[11] = shifted.total;
    found[12] = shifted.squares;
}

/* bits: most; pairs: exponentials; line.slope: 2**31 over the mantissa */
static void probabilities(void)
{
    const uint16_t *exp = (const uint16_t *)(const void *)pairs;
    const int32_t sum = me_row_sum(x, length, exp, bits);
    for (int32_t i = 0; i < 4; i++)
        y[i] = (int8_t)(sum >> (8 * i));
    me_row_probabilities(x, y + 4, length, exp, bits, line.slope, shift);
}

static void run_case(void)
{
    switch (kind) {
    case 0: me_norm_row_b(x, y, length, pairs, &line, shift); break;
    case 1: me_norm_row_b_s16(x, y, length, pairs, &line, shift); break;
    case 2: me_norm_row_h(x, y, length, pairs, &line, shift, bits); break;
    case 3: me_norm_row_h_s16(x, y, length, pairs, &line, shift, bits); break;
    case 4: sums_of_bytes((int32_t *)(void *)y); break;
    case 6: probabilities(); break;
    default: sums_of_halves((int32_t *)(void *)y);
    }
}
