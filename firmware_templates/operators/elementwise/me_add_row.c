/* SPDX-License-Identifier: Apache-2.0 */
#include "me_add_row.h"

void me_add_row(const void *params, const int8_t *a, const int8_t *b, int8_t *y, int32_t n, int32_t a_step,
                int32_t b_step)
{
    me_add_row_inline(params, a, b, y, n, a_step, b_step);
}
