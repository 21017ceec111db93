/* Gates, LSTM, GRU; see test_recurrent_kernels.py for the numbers. */
#include "me_linear_s8_s16.h"
#include "me_recurrent_steps.h"

#include "drawn.h"

static int32_t kind ME_L1;
static me_linear_s8_s16_params gates ME_L1;
static me_linear_s8_s16_tile rows ME_L1;
static me_recurrent_params op ME_L1;
static me_recurrent_tile steps ME_L1;

static void set_gates(const int32_t *n, const int8_t *in, int8_t *out)
{
    gates = (me_linear_s8_s16_params){ n[1], n[2] };
    rows = (me_linear_s8_s16_tile){
        in + n[5], n[3], in + n[6], (const me_channel *)(const void *)(in + n[7]), (int16_t *)(void *)out,
        n[4],
    };
}

static void set_case(const int32_t *n, int8_t *in, int8_t *out, int8_t *scratch)
{
    kind = n[0];
    if (kind == 0) {
        set_gates(n, in, out);
        return;
    }
    op = (me_recurrent_params){
        .units = n[1],
        .batch = n[2],
        .row_bytes = (n[1] + 3) / 4 * 4,
        .reverse = (uint8_t)n[3],
        .pre = n[4],
        .weights = in + n[6],
        .channels = (const me_channel *)(const void *)(in + n[7]),
        .sigmoid = (const int16_t *)(const void *)(in + n[8]),
        .tanh = (const int16_t *)(const void *)(in + n[9]),
        .h0 = in + n[11],
        .c0 = in + n[12],
        .h_mult = n[13],
        .h_offset = n[14],
        .h_shift = n[15],
        .c_mult = n[16],
        .c_offset = n[17],
        .c_shift = n[18],
        .states = scratch,
    };
    steps = (me_recurrent_tile){ (const int16_t *)(const void *)(in + n[10]), out, n[5], 0 };
}

static void run_case(void)
{
    if (kind == 0)
        me_linear_s8_s16(&gates, &rows);
    else if (kind == 1)
        me_recurrent_run(&op, &steps, (me_cell){ .gates = 4, .work = me_lstm_units });
    else
        me_recurrent_run(&op, &steps, (me_cell){ .gates = 3, .work = me_gru_units });
}
