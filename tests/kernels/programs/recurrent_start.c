/* First steps of LSTM and GRU; see test_recurrent_start.py for the numbers. */
#include "me_recurrent_start.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_recurrent_start_params op ME_L1;
static me_recurrent_start_tile tile ME_L1;

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    (void)scratch;
    const int16_t *arrays[4];
    for (int32_t i = 0; i < 4; i++)
        arrays[i] = (const int16_t *)(const void *)(in + n[4 + i]);
    kind = n[0];
    op = (me_recurrent_start_params){ n[1], n[2], arrays[1], arrays[2], arrays[3] };
    tile = (me_recurrent_start_tile){ arrays[0], out, n[3] };
}

static void run_case(void)
{
    switch (kind) {
    case 0: me_lstm_start_s8(&op, &tile); break;
    case 1: me_lstm_start_s16(&op, &tile); break;
    case 2: me_gru_start_s8(&op, &tile); break;
    default: me_gru_start_s16(&op, &tile);
    }
}
