/* SPDX-License-Identifier: Apache-2.0
 * The functions of me_gemm_s8_block.h that are the same in every C implementation. A file that defines
 * `blocks`, the product of a block of pixels and channels, includes it once.
 */
#ifndef ME_GEMM_S8_BLOCK_ROWS_H
#define ME_GEMM_S8_BLOCK_ROWS_H

#define ME_BLOCK(P, C) \
    static void me_block_##P##x##C(const me_block *block) { blocks(block, P, C); }
#define ME_BLOCKS(P) ME_BLOCK(P, 1) ME_BLOCK(P, 2) ME_BLOCK(P, 3) ME_BLOCK(P, 4)
ME_BLOCKS(1)
ME_BLOCKS(2)
ME_BLOCKS(3)
ME_BLOCKS(4)

void me_block_1x8(const me_block *block)
{
    me_block fours = *block;
    fours.blocks *= 2;
    me_block_1x4(&fours);
}

#define ME_ONES 0x01010101u

int8_t *me_interleave_rows(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum)
{
    sum[0] = sum[4] = sum[8] = sum[12] = 0;
    for (int32_t word = 0; word < words; word++)
        for (int32_t row = 0; row < 4; row++) {
            const int8_t *at = b + row * stride + 4 * word;
            const uint32_t taps = me_next_w(&at);
            sum[4 * row] = me_sdotsp_b(sum[4 * row], taps, ME_ONES);
            me_put_w(&to, taps);
        }
    return to;
}

int8_t *me_interleave_columns(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum)
{
    sum[0] = sum[4] = sum[8] = sum[12] = 0;
    for (int32_t word = 0; word < words; word++)
        for (int32_t column = 0; column < 4; column++) {
            const int8_t *at = b + 4 * word * stride + column;
            const uint32_t taps = me_pack_b(at[0], at[stride], at[2 * stride], at[3 * stride]);
            sum[4 * column] = me_sdotsp_b(sum[4 * column], taps, ME_ONES);
            me_put_w(&to, taps);
        }
    return to;
}

void me_sum_rows(const int8_t *const *x, int32_t words, int32_t *sum)
{
    for (int32_t row = 0; row < 4; row++) {
        const int8_t *at = x[row];
        sum[row] = 0;
        for (int32_t word = 0; word < words; word++)
            sum[row] = me_sdotsp_b(sum[row], me_next_w(&at), ME_ONES);
    }
}

#endif
