/* SPDX-License-Identifier: Apache-2.0
 * The micro-kernels of me_gemm_s8.c. Implementations: me_gemm_s8_block.S for GAP9's cores, for any RISC-V
 * assembler (-DME_GAP9); me_gemm_s8_block.c in portable C, the reference, for hosts and for the SDK's
 * compiler (-DME_SDK).
 */
#ifndef ME_GEMM_S8_BLOCK_H
#define ME_GEMM_S8_BLOCK_H

#include <stdint.h>

#include "me_scale.h"

/* Multiplies pixels by the weights of channels, in blocks of P x C results (P and C 1 .. 4):
 *   x         P pointers per group of pixels, each to `steps` words of taps, x_step bytes apart
 *   rows      P values per group, each added to the sums of one pixel; or 0
 *   weights   for each block of C channels and each step: C words
 *   channels  C per block
 *   y         the result of the first pixel and the first channel; y_stride bytes between pixels
 *   low, high limits of the results, repeated in all four bytes
 *   limits    whether low or high differs from int8's
 * steps, groups and blocks are at least 1. me_gemm_s8_block.S knows these offsets. */
typedef struct {
    const int8_t *const *x;
    const int32_t *rows;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t y_stride, steps, groups, blocks, pre;
    uint32_t low, high;
    int32_t limits, x_step;
} me_block;

typedef void me_block_kernel(const me_block *block);

/* One group of one pixel, blocks of 8 channels, each packed as two of 4. */
void me_block_1x8(const me_block *block);

/* indexed by me_block_kernels[P - 1][C - 1] */
extern me_block_kernel *const me_block_kernels[4][4];

/* Copies 4 * groups windows, four per group. The sources are from_step bytes apart, the destinations to_step
 * bytes. A window is `pieces` pieces of 4 * words + rest bytes (rest 0 .. 3); `skip` bytes between two pieces
 * are not copied. No other bytes are read or written. from_next and to_next are the distances from the end of
 * a group's first window, including `skip`, to the next group. me_gemm_s8_block.S knows these offsets. */
typedef struct {
    const int8_t *from;
    int32_t from_step;
    int8_t *to;
    int32_t to_step, pieces, words, rest, skip, groups, from_next, to_next;
} me_windows;

void me_copy_windows(const me_windows *windows);

/* Interleaves four rows, `stride` bytes apart, word by word; `words` >= 1 words of each. sum[4 * i]: sum
 * of all bytes of row i. -> the end of what was written */
int8_t *me_interleave_rows(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum);

/* As me_interleave_rows for four adjacent columns of a matrix with 4 * words rows. */
int8_t *me_interleave_columns(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum);

/* Sums of all bytes in `words` words of each of the four rows x[0] .. x[3]. */
void me_sum_rows(const int8_t *const *x, int32_t words, int32_t *sum);

#endif
