/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernel of me_ne16_matmul_s8.c. Implementations: me_product_sums.S for GAP9's cores,
 * me_product_sums.c in portable C.
 */
#ifndef ME_PRODUCT_SUMS_H
#define ME_PRODUCT_SUMS_H

#include <stdint.h>

/* Parameters that requantise sums: y = clip((((sum >> pre) * mult) + offset) >> shift). me_product_sums.S
 * knows these offsets. */
typedef struct {
    int32_t pre, mult, offset, shift, low, high;
} me_product_scale;

/* Requantises four columns of rows >= 1; rows are sum_step and y_step bytes apart. */
void me_product_sums(const int32_t *sums, int32_t rows, int32_t sum_step, int8_t *y, int32_t y_step,
                     const me_product_scale *by);

#endif
