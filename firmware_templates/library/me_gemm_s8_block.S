/* SPDX-License-Identifier: Apache-2.0
 * me_gemm_s8_block.h for GAP9's cores. Registers of blocks are numbers that are computed:
 * sum (p, c) is x16+4p+c. A 4x4 block with all it needs is about as large as a core's instruction
 * cache (512 B), hence the compressed instructions.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* registers of a block */
    .set WEIGHTS, 1             /* ra */
    .set STEP, 3                /* gp: bytes between a pixel's words */
    .set XA, 5                  /* two words of pixels */
    .set XB, 6
    .set PIXEL, 7               /* 7 .. 10: where pixels are read */
    .set WEIGHT, 11             /* 11 .. 14 */
    .set CHANNEL, 15
    .set SUM, 16                /* 16 .. 31 */
/* loaded after the sums */
    .set PRE, 7
    .set LOW, 8
    .set HIGH, 9
    .set Y, 10
    .set STRIDE, 11

/* stack frame; fields that a block reads are below 64, within reach of compressed instructions */
    .set AT_X, 0                /* the pointers of this group */
    .set AT_ROWS, 4
    .set AT_STEPS, 8
    .set AT_PRE, 12
    .set AT_LIMITS, 16
    .set AT_STRIDE, 20
    .set AT_Y, 24               /* of this block */
    .set AT_Y_GROUP, 28
    .set AT_GROUPS, 32          /* that are left */
    .set AT_BLOCKS, 36
    .set AT_WEIGHTS, 40
    .set AT_CHANNELS, 44
    .set AT_ROWS_STEP, 48       /* 16, or 0 without rows */
    .set AT_LOW, 52
    .set AT_HIGH, 56
    .set SAVED, 64              /* 64 .. 119 */
    .set FRAME, 128

/* me_block */
    .set OF_X, 0
    .set OF_ROWS, 4
    .set OF_WEIGHTS, 8
    .set OF_CHANNELS, 12
    .set OF_Y, 16
    .set OF_Y_STRIDE, 20
    .set OF_STEPS, 24
    .set OF_GROUPS, 28
    .set OF_BLOCKS, 32
    .set OF_PRE, 36
    .set OF_LOW, 40
    .set OF_HIGH, 44
    .set OF_LIMITS, 48
    .set OF_X_STEP, 52

    .macro load_word rd, offset, base
    .4byte 0x2003 | (\rd) << 7 | (\base) << 15 | (\offset) << 20
    .endm
    .macro next_word rd, at
    p_lw \rd, 4, \at
    .endm
    .macro next_weight rd, weights=WEIGHTS
    by_number next_word, \rd, \weights
    .endm
    .macro next_taps rd, pixel
    by_number p_lw_r, \rd, STEP, PIXEL+\pixel
    .endm
    .macro c_lwsp rd, offset                    /* offset below 64 */
    .2byte 0x4002 | (\rd) << 7 | ((\offset) >> 5) << 12 | (((\offset) >> 2) & 7) << 4
    .endm
    .macro c_swsp rs, offset
    .2byte 0xc002 | (\rs) << 2 | ((\offset) >> 2) << 9
    .endm
    .macro c_lw rd, offset, base                /* registers x8 .. x15, offset below 128 */
    .2byte 0x4000 | ((\rd) - 8) << 2 | ((\base) - 8) << 7 | (((\offset) >> 3) & 7) << 10 | (((\offset) >> 2) & 1) << 6 | ((\offset) >> 6) << 5
    .endm
    .macro c_mv rd, rs
    .2byte 0x8002 | (\rd) << 7 | (\rs) << 2
    .endm
    .macro c_add rd, rs
    .2byte 0x9002 | (\rd) << 7 | (\rs) << 2
    .endm
    .macro c_addi rd, number
    .2byte 0x0001 | (\rd) << 7 | ((\number) & 31) << 2 | (((\number) >> 5) & 1) << 12
    .endm
    .macro c_bnez_a2 target                     /* within 256 bytes */
    .option push
    .option rvc
    c.bnez a2, \target
    .option pop
    .endm
    .macro sdot p, c, x
    by_number pv_sdotsp_b, SUM+4*(\p)+\c, \x, WEIGHT+\c
    .endm

    .macro each_register what
    \what ra, SAVED(sp)
    \what s0, SAVED+4(sp)
    \what s1, SAVED+8(sp)
    \what s2, SAVED+12(sp)
    \what s3, SAVED+16(sp)
    \what s4, SAVED+20(sp)
    \what s5, SAVED+24(sp)
    \what s6, SAVED+28(sp)
    \what s7, SAVED+32(sp)
    \what s8, SAVED+36(sp)
    \what s9, SAVED+40(sp)
    \what s10, SAVED+44(sp)
    \what s11, SAVED+48(sp)
    \what gp, SAVED+52(sp)
    .endm

/* shifts all sums right by PRE; nothing if PRE is 0 */
    .macro shifted np, nc
    beqz t2, 7f
    .irp p, 0, 1, 2, 3
    .if \p < \np
    .irp c, 0, 1, 2, 3, 4, 5, 6, 7
    .if \c < \nc
    by_number sra, SUM+4*\p+\c, SUM+4*\p+\c, PRE
    .endif
    .endr
    .endif
    .endr
7:
    .endm

/* requantises the shifted sums of channel c, and meanwhile loads the parameters of the next channel */
    .macro requantised np, nc, c, mult, offset, shift, next_mult, next_offset, next_shift
    .irp p, 0, 1, 2, 3
    .if \p < \np
    by_number mul, SUM+4*\p+\c, SUM+4*\p+\c, \mult
    .endif
    .endr
    .if \c+1 < \nc
    c_lw \next_mult, 16*\c+20, CHANNEL
    c_lw \next_offset, 16*\c+24, CHANNEL
    .elseif \np == 1
    nop                                                         /* fills the slot of a load's wait */
    .endif
    .irp p, 0, 1, 2, 3
    .if \p < \np
    by_number p_addN_r, SUM+4*\p+\c, \offset, \shift
    .endif
    .endr
    .if \c+1 < \nc
    c_lw \next_shift, 16*\c+28, CHANNEL
    .endif
    .irp p, 0, 1, 2, 3
    .if \p < \np
    by_number p_clip8, SUM+4*\p+\c, SUM+4*\p+\c
    .endif
    .endr
    .endm

/* packs the bytes of pixel p into one word */
    .macro packed nc, p
    .if \nc > 1
    by_number pv_packlo_b, SUM+4*\p, SUM+4*\p+1, SUM+4*\p
    .endif
    .if \nc == 3
    by_number pv_packhi_b, SUM+4*\p, SUM+4*\p+2, SUM+4*\p+2
    .elseif \nc == 4
    by_number pv_packhi_b, SUM+4*\p, SUM+4*\p+3, SUM+4*\p+2
    .endif
    .endm

    .macro limited p
    by_number pv_max_b, SUM+4*\p, SUM+4*\p, LOW
    by_number pv_min_b, SUM+4*\p, SUM+4*\p, HIGH
    .endm

    .macro stored nc, p
    .if \nc == 4
    by_number p_sw_r, SUM+4*\p, STRIDE, Y
    .elseif \nc == 2
    by_number p_sh_r, SUM+4*\p, STRIDE, Y
    .elseif \nc == 1
    by_number p_sb_r, SUM+4*\p, STRIDE, Y
    .else
    .4byte 0x1023 | Y << 15 | (SUM+4*\p) << 20                  /* sh */
    .4byte 0x01005013 | (SUM+4*\p) << 7 | (SUM+4*\p) << 15       /* srli by 16 */
    .4byte 0x0123 | Y << 15 | (SUM+4*\p) << 20                  /* sb at 2 */
    c_add Y, STRIDE
    .endif
    .endm

    .macro entered
    addi sp, sp, -FRAME
    each_register sw
    lw t0, OF_X(a0)
    lw t1, OF_Y(a0)
    lw t2, OF_GROUPS(a0)
    lw s0, OF_BLOCKS(a0)
    lw s1, OF_WEIGHTS(a0)
    lw a1, OF_CHANNELS(a0)
    lw a2, OF_STEPS(a0)
    lw a3, OF_PRE(a0)
    lw a4, OF_ROWS(a0)
    lw a5, OF_Y_STRIDE(a0)
    lw a6, OF_LIMITS(a0)
    lw a7, OF_LOW(a0)
    lw s2, OF_HIGH(a0)
    lw gp, OF_X_STEP(a0)
    snez a0, a4
    slli a0, a0, 4
    sw t0, AT_X(sp)
    sw t1, AT_Y_GROUP(sp)
    sw t2, AT_GROUPS(sp)
    sw s0, AT_BLOCKS(sp)
    sw s1, AT_WEIGHTS(sp)
    sw a1, AT_CHANNELS(sp)
    sw a2, AT_STEPS(sp)
    sw a3, AT_PRE(sp)
    sw a4, AT_ROWS(sp)
    sw a5, AT_STRIDE(sp)
    sw a6, AT_LIMITS(sp)
    sw a7, AT_LOW(sp)
    sw s2, AT_HIGH(sp)
    sw a0, AT_ROWS_STEP(sp)
    .endm
    .macro left
    each_register lw
    addi sp, sp, FRAME
    ret
    .endm

    .macro within_limits np, nc
9:  /* the same with limits other than int8's */
    c_lwsp LOW, AT_LOW
    c_lwsp HIGH, AT_HIGH
    .irp p, 0, 1, 2, 3
    .if \p < \np
    packed \nc, \p
    limited \p
    stored \nc, \p
    .endif
    .endr
    j 6b
    .endm

    .macro block np, nc
    me_function me_block_\np\()x\nc
    entered
    j 1f

    me_cache_line
1:  /* a group of pixels: one line of the instruction cache */
    c_lwsp XA, AT_BLOCKS
    c_lwsp 10, AT_Y_GROUP
    c_lwsp WEIGHTS, AT_WEIGHTS
    c_lwsp CHANNEL, AT_CHANNELS
    c_swsp 10, AT_Y
    .2byte 1                                                    /* c.nop */
2:  lp_setup 1, t0, 6f

    c_lwsp 8, AT_X
    c_lwsp XB, AT_ROWS
    .irp c, 0, 1, 2, 3
    .if \c < \nc
    load_word SUM+\c, 16*\c, CHANNEL                            /* bias */
    .endif
    .endr
    load_word PIXEL, 0, 8
    c_lwsp XA, AT_STEPS
    .if \np > 2
    c_lw PIXEL+2, 8, 8
    .endif
    .if \np > 3
    c_lw PIXEL+3, 12, 8
    .endif
    .if \np > 1
    c_lw PIXEL+1, 4, 8
    .endif
    bnez t1, 8f
    .irp p, 1, 2, 3
    .if \p < \np
    .irp c, 0, 1, 2, 3
    .if \c < \nc
    c_mv SUM+4*\p+\c, SUM+\c
    .endif
    .endr
    .endif
    .endr
    .if (\np + (\np-1)*\nc) & 1 == 1
    .2byte 1
    .endif
3:  lp_setup 0, t0, 4f
    .if \np == 4 && \nc == 4
    next_taps XA, 0
    next_weight WEIGHT+0
    next_weight WEIGHT+1
    next_weight WEIGHT+2
    next_weight WEIGHT+3
    sdot 0, 0, XA
    next_taps XB, 1
    sdot 0, 1, XA
    sdot 0, 2, XA
    sdot 0, 3, XA
    sdot 1, 0, XB
    sdot 1, 1, XB
    next_taps XA, 2
    sdot 1, 2, XB
    sdot 1, 3, XB
    sdot 2, 0, XA
    sdot 2, 1, XA
    sdot 2, 2, XA
    next_taps XB, 3
    sdot 2, 3, XA
    sdot 3, 0, XB
    sdot 3, 1, XB
    sdot 3, 2, XB
4:  sdot 3, 3, XB
    .else
    .if \np == 1
    next_taps XA, 0
    .endif
    .irp c, 0, 1, 2, 3
    .if \c < \nc
    next_weight WEIGHT+\c
    .endif
    .endr
    .if \np > 1
    next_taps XA, 0
    next_taps XB, 1
    .endif
    .irp p, 0, 1, 2, 3
    .if \p < \np
    .irp c, 0, 1, 2, 3
    .if \c < \nc
    .if \p == \np-1 && \c == \nc-1
4:
    .endif
    sdot \p, \c, XA+(\p&1)
    .endif
    .endr
    .if \p+2 < \np
    next_taps XA+(\p&1), \p+2
    .endif
    .endif
    .endr

    .endif

    c_lwsp PRE, AT_PRE
    c_lw 8, 4, CHANNEL
    c_lw 9, 8, CHANNEL
    c_lw 10, 12, CHANNEL
    shifted \np, \nc
    requantised \np, \nc, 0, 8, 9, 10, 11, 12, 13
    .if \nc > 1
    requantised \np, \nc, 1, 11, 12, 13, 8, 9, 10
    .endif
    .if \nc > 2
    requantised \np, \nc, 2, 8, 9, 10, 11, 12, 13
    .endif
    .if \nc > 3
    requantised \np, \nc, 3, 11, 12, 13, 8, 9, 10
    .endif
    c_lwsp Y, AT_Y
    c_lwsp 12, AT_LIMITS
    addi t0, a0, \nc
    c_swsp XA, AT_Y
    c_lwsp STRIDE, AT_STRIDE
    .if \nc & 1
    bnez a2, 9f
    .else
    c_bnez_a2 9f                                                /* the loop's end stays aligned */
    .endif
    .irp p, 0, 1, 2, 3
    .if \p < \np
    packed \nc, \p
    stored \nc, \p
    .endif
    .endr
    .if \nc == 3 && \np & 1
    .2byte 1
    .endif
6:  addi a5, a5, 16*\nc                                          /* end of the loop of lp.setup 1 */

    .if \np == 4
    c_lwsp 8, AT_X
    c_lwsp 9, AT_Y_GROUP
    c_lwsp 10, AT_STRIDE
    c_lwsp 11, AT_GROUPS
    c_lwsp 12, AT_ROWS
    c_lwsp 13, AT_ROWS_STEP
    c_addi 8, 16
    c_add 10, 10
    c_add 10, 10
    c_add 9, 10
    c_addi 11, -1
    c_add 12, 13
    c_swsp 8, AT_X
    c_swsp 9, AT_Y_GROUP
    c_swsp 11, AT_GROUPS
    c_swsp 12, AT_ROWS
    bnez a1, 1b
    .endif
    left

    within_limits \np, \nc

8:  /* constant that is added to each pixel */
    .irp p, 0, 1, 2, 3
    .if \p < \np
    load_word WEIGHT+\p, 4*\p, XB
    .endif
    .endr
    .irp p, 3, 2, 1, 0
    .if \p < \np
    .irp c, 0, 1, 2, 3
    .if \c < \nc
    by_number add, SUM+4*\p+\c, SUM+\c, WEIGHT+\p
    .endif
    .endr
    .endif
    .endr
    j 3b
    me_end me_block_\np\()x\nc
    .endm

/* One pixel and two blocks of four channels per iteration. The second four sums are stored as if they
 * belonged to a second pixel, 4 bytes further. */
    .macro pair_of_blocks
    me_function me_block_1x8
    entered
    lw t0, AT_BLOCKS(sp)
    lw t1, AT_Y_GROUP(sp)
    lw ra, AT_WEIGHTS(sp)
    lw a5, AT_CHANNELS(sp)
    sw t1, AT_Y(sp)
2:  lp_setup 1, t0, 6f
    lw s0, AT_X(sp)
    lw t0, AT_STEPS(sp)
    .irp c, 0, 1, 2, 3, 4, 5, 6, 7
    load_word SUM+\c, 16*\c, CHANNEL
    .endr
    lw t1, AT_ROWS(sp)
    lw t2, 0(s0)
    slli s1, t0, 4
    add s1, s1, ra                                              /* s1: weights of the second block */
    bnez t1, 8f
3:  lp_setup 0, t0, 4f
    next_taps XA, 0
    .irp c, 0, 1, 2, 3
    next_weight WEIGHT+\c
    .endr
    .irp c, 0, 1, 2, 3
    sdot 0, \c, XA
    .endr
    .irp c, 0, 1, 2, 3
    next_weight WEIGHT+\c, 9                                    /* from s1 */
    .endr
    sdot 1, 0, XA
    sdot 1, 1, XA
    sdot 1, 2, XA
4:  sdot 1, 3, XA
    mv ra, s1
    lw t2, AT_PRE(sp)
    c_lw 8, 4, CHANNEL
    c_lw 9, 8, CHANNEL
    load_word 10, 12, CHANNEL
    shifted 1, 8
    requantised 1, 8, 0, 8, 9, 10, 11, 12, 13
    requantised 1, 8, 1, 11, 12, 13, 8, 9, 10
    requantised 1, 8, 2, 8, 9, 10, 11, 12, 13
    requantised 1, 8, 3, 11, 12, 13, 8, 9, 10
    requantised 1, 8, 4, 8, 9, 10, 11, 12, 13
    requantised 1, 8, 5, 11, 12, 13, 8, 9, 10
    requantised 1, 8, 6, 8, 9, 10, 11, 12, 13
    requantised 1, 8, 7, 11, 12, 13, 8, 9, 10
    lw a0, AT_Y(sp)
    lw a2, AT_LIMITS(sp)
    addi t0, a0, 8
    sw t0, AT_Y(sp)
    li a1, 4
    c_bnez_a2 9f
    packed 4, 0
    packed 4, 1
    stored 4, 0
    stored 4, 1
6:  addi a5, a5, 128                                            /* end of the loop of lp.setup 1 */
    left
8:  lw t1, 0(t1)
    .irp c, 0, 1, 2, 3, 4, 5, 6, 7
    c_add SUM+\c, XB
    .endr
    j 3b
    within_limits 2, 4
    me_end me_block_1x8
    .endm

    .irp np, 1, 2, 3, 4
    .irp nc, 1, 2, 3, 4
    block \np, \nc
    .endr
    .endr
    pair_of_blocks

    .macro three load, store, size              /* loads from a1 .. a4, stores the first three */
    \load t1, \size, a1
    \load t2, \size, a2
    \load t3, \size, a3
    \load t4, \size, a4
    \store t1, \size, a5
    \store t2, \size, a6
    \store t3, \size, a7
    .endm

me_function me_copy_windows
    addi sp, sp, -16
    sw s0, 0(sp)
    sw s1, 4(sp)
    mv s0, a0
    lw a1, 0(s0)                                /* from, from_step */
    lw t0, 4(s0)
    lw a5, 8(s0)                                /* to, to_step */
    lw t1, 12(s0)
    add a2, a1, t0
    lw t5, 20(s0)                               /* pieces, words, rest, skip */
    add a3, a2, t0
    lw a0, 24(s0)
    add a4, a3, t0
    lw t6, 28(s0)
    add a6, a5, t1
    lw s1, 32(s0)                               /* groups, from_next, to_next */
    add a7, a6, t1
    add t0, a7, t1
8:  lw t1, 16(s0)
    nop
1:  lp_setup 1, t1, 7f
    beqz t5, 3f
2:  lp_setup 0, t5, 9f
    three p_lw, p_sw, 4
9:  p_sw t4, 4, t0
3:  beqz a0, 6f
    andi t1, a0, 2
    bnez t1, 5f
4:  three p_lb, p_sb, 1
    p_sb t4, 1, t0
6:  add a1, a1, t6
    add a2, a2, t6
    add a3, a3, t6
7:  add a4, a4, t6
    addi s1, s1, -1
    beqz s1, 9f
    lw t1, 36(s0)
    lw t2, 40(s0)
    add a1, a1, t1
    add a2, a2, t1
    add a3, a3, t1
    add a4, a4, t1
    add a5, a5, t2
    add a6, a6, t2
    add a7, a7, t2
    add t0, t0, t2
    j 8b
9:  lw s0, 0(sp)
    lw s1, 4(sp)
    addi sp, sp, 16
    ret
5:  three p_lh, p_sh, 2
    p_sh t4, 2, t0
    andi t1, a0, 1
    bnez t1, 4b
    j 6b
me_end me_copy_windows

    .macro add_up sum, word                     /* all bytes of a word; a5 holds ones */
    pv_sdotsp_b \sum, \word, a5
    .endm

/* int8_t *me_interleave_rows(const int8_t *b, int32_t stride, int32_t words, int8_t *to, int32_t *sum) */
me_function me_interleave_rows
    li a5, 0x01010101
    add a6, a0, a1
    add a7, a6, a1
    add a1, a7, a1
    mv t0, a2
    li t1, 0
    li t2, 0
    li a2, 0
    li t3, 0
1:  lp_setup 0, t0, 2f
    p_lw t4, 4, a0
    p_lw t5, 4, a6
    add_up t1, t4
    p_lw t6, 4, a7
    add_up t2, t5
    p_sw t4, 4, a3
    p_lw t0, 4, a1
    p_sw t5, 4, a3
    add_up a2, t6
    add_up t3, t0
    p_sw t6, 4, a3
2:  p_sw t0, 4, a3
    sw t1, 0(a4)
    sw t2, 16(a4)
    sw a2, 32(a4)
    sw t3, 48(a4)
    mv a0, a3
    ret
me_end me_interleave_rows

/* void me_sum_rows(const int8_t *const *x, int32_t words, int32_t *sum) */
me_function me_sum_rows
    li a5, 0x01010101
    lw a3, 0(a0)
    lw a4, 4(a0)
    lw a6, 8(a0)
    lw a7, 12(a0)
    li t1, 0
    li t2, 0
    li t3, 0
    li t4, 0
1:  lp_setup 0, a1, 2f
    p_lw t0, 4, a3
    p_lw a0, 4, a4
    p_lw t5, 4, a6
    p_lw t6, 4, a7
    add_up t1, t0
    add_up t2, a0
    add_up t3, t5
2:  add_up t4, t6
    sw t1, 0(a2)
    sw t2, 4(a2)
    sw t3, 8(a2)
    sw t4, 12(a2)
    ret
me_end me_sum_rows

/* As me_interleave_rows, if four taps of a column are in four rows: transposes 4 x 4 bytes. */
me_function me_interleave_columns
    addi sp, sp, -16
    sw s0, 0(sp)
    sw s1, 4(sp)
    sw a4, 8(sp)
    li a5, 0x01010101
    me_ask_orders a6, s1, a4, t1
    mv t0, a2
    li a2, 0
    li a7, 0
    li t6, 0
    li s0, 0
1:  lp_setup 0, t0, 2f
    p_lw_r t0, a1, a0
    p_lw_r t1, a1, a0
    p_lw_r t2, a1, a0
    p_lw_r t3, a1, a0
    me_turn_4x4 a6, s1, a4
    p_sw t0, 4, a3
    p_sw t4, 4, a3
    p_sw t2, 4, a3
    p_sw t1, 4, a3
    add_up a2, t0
    add_up a7, t4
    add_up t6, t2
2:  add_up s0, t1
    lw a4, 8(sp)
    sw a2, 0(a4)
    sw a7, 16(a4)
    sw t6, 32(a4)
    sw s0, 48(a4)
    mv a0, a3
    lw s0, 0(sp)
    lw s1, 4(sp)
    addi sp, sp, 16
    ret
me_end me_interleave_columns

#endif
