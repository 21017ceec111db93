/* SPDX-License-Identifier: Apache-2.0
 * Convolution, linear layer and matrix product of int8 operands in L1. Cores 0 .. 7 call a kernel together
 * and share its work; no kernel has a barrier at the end.
 *
 * All results: y = clip((((acc >> pre) * mult) + offset) >> shift), then the table; pre 0 to 20, mult 0 to
 * 32,767, shift 0 to 30 (me_scale.h). acc stays inside int32. Extents and counts are at least 1.
 *
 * If a tile has `kernel_waits`, its operands may still be in transfer: each core waits for them (ME_READY)
 * after it has prepared what does not need them.
 *
 * Weights are packed: for each four channels (the last group may have fewer) and each four taps, one word
 * per channel. Taps are in the order of kernel rows, columns, input channels; zeros fill the last word.
 * Weights, channels and scratch are aligned to 4; x and y may have any address, but aligned ones are
 * faster. Only the operands' own bytes are read or written.
 */
#ifndef ME_GEMM_H
#define ME_GEMM_H

#include <stdint.h>

#include "me_scale.h"

/* c: input channels. Padding has the value x_zero.
 * narrow    kernel rows of k_w * c = 3 taps are padded to a word by a zero weight, rows of 4 taps are a word; windows
 *           are read in place in tile.padded. Only for dilation_w = 1
 * in_place  windows that are one contiguous piece are read in place with unaligned loads: in tile.padded, or in x if
 *           they are inside it and whole words long
 * together  windows of many taps are gathered once, by all cores; narrow and in_place are 0. Bytes of a gathered
 *           window after its last tap are multiplied by zeros */
typedef struct {
    int32_t c, k_h, k_w, stride_h, stride_w, dilation_h, dilation_w, x_zero;
    me_scale scale;
    int32_t narrow, in_place, together;
} me_conv_s8_params;

/* x        rows x cols x c, row_stride bytes between rows
 * pad_*    distance of the first output's window above and left of x; positions of windows outside x are
 *          padding
 * weights  and channels, packed for k channels
 * y        oh x ow x k, y_stride bytes between pixels
 * scratch  me_gemm_scratch_bytes of c * k_h * k_w taps; may be 0 if every window is a contiguous piece inside x
 *          (such as for k_h = k_w = 1) that starts at a multiple of 4 and has such a length; with `together`,
 *          me_gemm_row_stride of the taps for each of the oh * ow windows
 * padded   me_conv_padded_bytes for a padded copy of x, which is faster than windows over edges one by one if
 *          there are few channels; otherwise 0 */
typedef struct {
    const int8_t *x;
    int32_t h, w, pad_top, pad_left, row_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t oh, ow, k, y_stride;
    int8_t *scratch, *padded;
    int32_t kernel_waits;
} me_conv_s8_tile;

/* Convolution, channels last, int8 [h][w][c] -> [oh][ow][k]: acc = bias[k] + sum of x * weights over
 * the window, with padding x_zero, -128 to 127. Windows, strides, dilations and padding of any size.
 * There is a barrier inside if tile->padded or op->together is set. */
void me_conv_s8(const me_conv_s8_params *conv, const me_conv_s8_tile *tile);

/* x: rows of c bytes, x_stride bytes apart; y: k channels, y_stride bytes between rows
 * scratch as above with c taps; not needed if x, x_stride and c are multiples of 4
 * nine_cores: core 8 calls the kernel as well; only if no scratch is needed */
typedef struct {
    int32_t c;
    me_scale scale;
    int32_t nine_cores;
} me_linear_s8_params;

typedef struct {
    const int8_t *x;
    int32_t rows, x_stride;
    const int8_t *weights;
    const me_channel *channels;
    int8_t *y;
    int32_t k, y_stride;
    int8_t *scratch;
    int32_t kernel_waits;
} me_linear_s8_tile;

/* Linear layer, int8 [rows][c] -> [rows][k]: acc = bias[k] + sum of x * W over c, W packed int8 [k][c]. The only
 * barrier inside is the wait for operands. */
void me_linear_s8(const me_linear_s8_params *linear, const me_linear_s8_tile *tile);

typedef me_linear_s8_params me_linear_in_place_s8_params;
typedef me_linear_s8_tile me_linear_in_place_s8_tile;

/* The linear layer without scratch, slower: int8 rows of any length at any address, with the same results and ranges.
 * kernel_waits is not read; there is no barrier inside. */
void me_linear_in_place_s8(const me_linear_in_place_s8_params *linear,
                           const me_linear_in_place_s8_tile *tile);

/* a_zero, b_zero: -128 .. 127; mult, offset, shift: common to all results
 * b_transposed: b is given as [n][c]
 * nine_cores: core 8 calls the kernel as well; only if a, a_stride and c are multiples of 4 */
typedef struct {
    int32_t c, a_zero, b_zero, b_transposed, mult, offset, shift;
    me_scale scale;
    int32_t nine_cores;
} me_matmul_s8_params;

/* strides: bytes between rows of the operands in L1
 * scratch: me_matmul_scratch_bytes bytes; without me_gemm_scratch_bytes of them if a, a_stride and c are multiples of 4
 * packed: scratch still holds the packed b of the tile before, for the same columns */
typedef struct {
    const int8_t *a, *b;
    int32_t m, n, a_stride, b_stride;
    int8_t *y;
    int32_t y_stride;
    int8_t *scratch;
    int32_t packed, kernel_waits;
} me_matmul_s8_tile;

/* Matrix product of two int8 activations, int8 [m][n]: acc = sum over c of (a[m][c] - a_zero) *
 * (b[c][n] - b_zero). Unless b is packed already, there is a barrier after the packing, and another one if few
 * columns are packed in parts. */
void me_matmul_s8(const me_matmul_s8_params *matmul, const me_matmul_s8_tile *tile);

typedef me_matmul_s8_params me_matmul_in_place_s8_params;

/* Products of a [batches][m][c] and b [batches][c][n], whose results the cores share: faster for many small
 * products. a_step, b_step: bytes from one batch of the operand to the next, 0 if all use the same; b_stride: bytes
 * between rows of b; y [batches][m][n] */
typedef struct {
    const int8_t *a, *b;
    int8_t *y;
    int32_t batches, m, n, a_step, b_step, b_stride;
} me_matmul_in_place_s8_tile;

/* The matrix product without scratch: int8 operands at any address, with the same results and ranges. nine_cores is
 * not read; there is no barrier inside. */
void me_matmul_in_place_s8(const me_matmul_in_place_s8_params *matmul,
                           const me_matmul_in_place_s8_tile *tile);

/* Bytes of a row of `taps` bytes, rounded up to whole words. */
static inline int32_t me_gemm_row_bytes(int32_t taps) { return (taps + 3) & ~3; }

/* Bytes between gathered rows: an odd number of words, so that rows start in different banks. */
static inline int32_t me_gemm_row_stride(int32_t taps) { return me_gemm_row_bytes(taps) | 4; }

/* Number of pixels that a core gathers per block: 4 to 16 if they take at most 2 KiB, and up to 32 if they
 * take at most 1 KiB, because L1 may be small. */
static inline int32_t me_gemm_pixels(int32_t taps)
{
    const int32_t row = me_gemm_row_bytes(taps), few = 256 / row, many = 512 / row;
    const int32_t groups = few > 4 ? few : many > 4 ? 4 : many;
    return 4 * (groups < 1 ? 1 : groups > 8 ? 8 : groups);
}

static inline int32_t me_gemm_scratch_bytes(int32_t taps)
{
    return 8 * me_gemm_pixels(taps) * me_gemm_row_stride(taps);
}

/* -> the input rows (or columns) that n consecutive windows span */
static inline int32_t me_conv_span(int32_t n, int32_t kernel, int32_t stride, int32_t dilation)
{
    return (n - 1) * stride + (kernel - 1) * dilation + 1;
}

static inline int32_t me_conv_padded_bytes(const me_conv_s8_params *conv, int32_t oh, int32_t ow)
{
    const int32_t rows = me_conv_span(oh, conv->k_h, conv->stride_h, conv->dilation_h);
    const int32_t columns = me_conv_span(ow, conv->k_w, conv->stride_w, conv->dilation_w);
    return me_gemm_row_bytes(rows * columns * conv->c) + 4;
}

static inline int32_t me_matmul_scratch_bytes(int32_t c, int32_t n)
{
    return n * (me_gemm_row_bytes(c) + (int32_t)sizeof(me_channel)) + me_gemm_scratch_bytes(c);
}

#endif
