/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gemm.h"

#include "me_gemm_s8.h"
#include "me_share.h"

void me_linear_s8(const me_linear_s8_params *op, const me_linear_s8_tile *tile)
{
    me_gemm gemm = {
        .windows = me_gemm_rows(tile->x, tile->rows, tile->x_stride, op->c),
        .results = {
            .k = tile->k, .y_stride = tile->y_stride, .weights = tile->weights, .channels = tile->channels,
            .y = tile->y, .scale = &op->scale,
        },
        .b_zero = 0, .cores = ME_KERNEL_CORES(op->nine_cores), .kernel_waits = tile->kernel_waits,
        .prepare = me_gemm_waits(tile->kernel_waits), .scratch = tile->scratch, .op = 0, .tile = 0,
    };
    me_gemm_s8(&gemm);
}
