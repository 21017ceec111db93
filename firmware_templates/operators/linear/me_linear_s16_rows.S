/* SPDX-License-Identifier: Apache-2.0
 * me_linear_s16_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 wide, a2 words, a3 row, a4 half, a5 at */
me_function me_split_row
    slli a5, a5, 2
    add a3, a3, a5              /* high bytes */
    add a4, a3, a4              /* low bytes */
    beqz a1, .Lsplit_bytes
    li a5, 0x03010200           /* low bytes of a word's halfwords, then their high bytes */
    lp_setup 0, a2, .Lhalves_last
    p_lw t0, 4, a0
    p_lw t1, 4, a0
    pv_shuffle_b t0, t0, a5
    pv_shuffle_b t1, t1, a5
    pv_pack_h t2, t1, t0
    srli t0, t0, 16
    p_insert_low t1, t0
    p_sw t2, 4, a4
.Lhalves_last:
    p_sw t1, 4, a3
    ret
.Lsplit_bytes:
    lp_setup 0, a2, .Lbytes_last
    p_lw t0, 4, a0
    nop
    p_sw t0, 4, a4
    pv_sra6_b t0, t0            /* the sign alone is left */
    pv_sra6_b t0, t0
.Lbytes_last:
    p_sw t0, 4, a3
    ret
me_end me_split_row

/* \sum: 256 times the sum of high bytes, and the sum of low bytes */
.macro joined sum, high
    slli \high, \high, 8
    add \sum, \sum, \high
.endm

/* a0 row, a1 half, a2 weights, a3 words, a4 channels, a5 sums, a6 blocks, a7 rows */
me_function me_split_sums
    addi a7, a7, -1
    bnez a7, .Ltwo_rows
    addi sp, sp, -32
    me_saved sw, 8
    add a1, a0, a1
.Lblock_begins:
    lw t0, 0(a4)
    lw t1, 16(a4)
    lw t2, 32(a4)
    lw t3, 48(a4)
    addi a4, a4, 64
    mv a7, a0
    mv s7, a1
    li s0, 0
    li s1, 0
    li s2, 0
    li s3, 0
    lp_setup 0, a3, .Lblock_last
    p_lw t4, 4, a7
    p_lw t5, 4, a2
    p_lw t6, 4, a2
    p_lw s4, 4, a2
    p_lw s5, 4, a2
    p_lw s6, 4, s7
    pv_sdotsp_b s0, t4, t5
    pv_sdotsp_b s1, t4, t6
    pv_sdotsp_b s2, t4, s4
    pv_sdotsp_b s3, t4, s5
    pv_sdotusp_b t0, s6, t5
    pv_sdotusp_b t1, s6, t6
    pv_sdotusp_b t2, s6, s4
.Lblock_last:
    pv_sdotusp_b t3, s6, s5
    joined t0, s0
    joined t1, s1
    joined t2, s2
    joined t3, s3
    .irp sum, t0, t1, t2, t3
    p_sw \sum, 4, a5
    .endr
    addi a6, a6, -1
    bnez a6, .Lblock_begins
    me_saved lw, 8
    addi sp, sp, 32
    ret
.Ltwo_rows:                     /* rows 0 and 2 of a block are high bytes, rows 1 and 3 low ones */
    addi sp, sp, -80
    me_saved sw
    sw a0, 48(sp)
    sw a1, 52(sp)
    sw a3, 56(sp)
    sw a5, 60(sp)
    sw a6, 64(sp)
.Lpair_begins:
    lw t4, 0(a4)
    lw t5, 16(a4)
    lw t6, 32(a4)
    lw s0, 48(a4)
    addi a4, a4, 64
    sw a4, 68(sp)
    mv s5, t4
    mv s6, t5
    mv s7, t6
    mv s8, s0
    .irp high, t0, t1, t2, t3, s1, s2, s3, s4
    li \high, 0
    .endr
    me_block_4x4 pv_sdotsp_b, pv_sdotusp_b
    lw a5, 60(sp)
    lw a6, 64(sp)
    joined t4, t0
    joined t5, t1
    joined t6, t2
    joined s0, t3
    joined s5, s1
    joined s6, s2
    joined s7, s3
    joined s8, s4
    sw t4, 0(a5)
    sw t5, 4(a5)
    sw t6, 8(a5)
    sw s0, 12(a5)
    sw s5, 128(a5)
    sw s6, 132(a5)
    sw s7, 136(a5)
    sw s8, 140(a5)
    addi a5, a5, 16
    addi a6, a6, -1
    sw a5, 60(sp)
    sw a6, 64(sp)
    lw a0, 48(sp)
    lw a1, 52(sp)
    lw a3, 56(sp)
    lw a4, 68(sp)
    bnez a6, .Lpair_begins
    me_saved lw
    addi sp, sp, 80
    ret
me_end me_split_sums

/* a0 row, a1 half, a2 weights, a3 words, a4 sum */
me_function me_split_sum
    add a1, a0, a1
    li t0, 0
    lp_setup 0, a3, .Lsum_last
    p_lw t1, 4, a0
    p_lw t2, 16, a2
    p_lw t3, 4, a1
    pv_sdotsp_b t0, t1, t2
.Lsum_last:
    pv_sdotusp_b a4, t3, t2
    joined a4, t0
    mv a0, a4
    ret
me_end me_split_sum

/* a0 sums, a1 channels, a2 scale, a3 y, a4 n, a5 wide; values of `size` bytes */
.macro store_row store, size
    lp_setup 0, a4, .Lrow_stored\@
    p_lw t6, 4, a0
    p_lw t3, 4, a1
    p_lw t4, 4, a1
    sra t6, t6, t0
    mul t6, t6, t3
    p_lw t5, 8, a1
    nop
    p_addN_r t6, t4, t5
    p_max t6, t6, t1
    p_min t6, t6, t2
.Lrow_stored\@:
    \store t6, \size, a3
    ret
.endm
me_function me_split_store
    lw t0, 0(a2)                /* me_scale: pre, low, high */
    lw t1, 4(a2)
    lw t2, 8(a2)
    addi a1, a1, 4              /* me_channel: bias, mult, offset, shift */
    beqz a5, .Lstore_row_of_bytes
    store_row p_sh, 2
.Lstore_row_of_bytes:
    store_row p_sb, 1
me_end me_split_store

#endif
