/* SPDX-License-Identifier: Apache-2.0 */
#include "me_softmax.h"

#include "me_math.h"
#include "me_share.h"
#include "me_softmax_rows.h"

/* Bytes before the first number of a row. */
static int32_t start_of(const me_softmax *op, int32_t row)
{
    const int32_t outer = op->inner == 1 ? row : row / op->inner;
    return outer * op->length * op->inner + row - outer * op->inner;
}

void me_softmax_run(const me_softmax *op, const int8_t *x, int8_t *y)
{
    const int32_t rows = op->outer * op->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t at = start_of(op, row), most = me_row_max(x + at, op->length, op->inner);
        const uint32_t sum = me_row_sum(x + at, op->length, op->inner, op->exp, most);
        const int32_t halvings = me_fl1(sum) - 15;
        me_row_shares(x + at, y + at, op->length, op->inner, op->exp, most,
                      0x80000000u / (sum >> halvings), 8 + halvings);
    }
}

void me_log_softmax_run(const me_log_softmax *op, const int8_t *x, int8_t *y)
{
    const me_softmax *of = &op->rows;
    const int32_t rows = of->outer * of->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int32_t at = start_of(of, row), most = me_row_max(x + at, of->length, of->inner);
        const uint32_t sum = me_row_sum(x + at, of->length, of->inner, of->exp, most);
        const int32_t halvings = me_fl1(sum) - 15;
        const int32_t log_sum = op->log[(sum >> halvings >> 7) - 256u] + halvings * op->ln2;
        const int32_t below = log_sum * op->log_mult + op->offset;
        for (int32_t i = at; i < at + of->length * of->inner; i += of->inner)
            y[i] = me_clip(((most - x[i]) * op->mult + below) >> op->shift, op->low, op->high);
    }
}

void me_argmax_run(const me_softmax *op, const int8_t *x, int32_t *y)
{
    const int32_t rows = op->outer * op->inner;
    for (int32_t row = ME_FIRST(rows); row < ME_LAST(rows); row++) {
        const int8_t *from = x + start_of(op, row);
        const int32_t most = me_row_max(from, op->length, op->inner);
        int32_t i = 0;
        for (; *from != most; from += op->inner)
            i++;
        y[row] = i;
    }
}
