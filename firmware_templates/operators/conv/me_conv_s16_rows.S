/* SPDX-License-Identifier: Apache-2.0
 * me_conv_s16_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 weights, a2 words, a3 sums */
me_function me_four_sums_h
    lw t0, 0(a3)
    lw t1, 4(a3)
    lw t2, 8(a3)
    lw t3, 12(a3)
    lp_setup 0, a2, .Lfour_last
    p_lw t4, 4, a0
    p_lw a4, 4, a1
    p_lw a5, 4, a1
    p_lw a6, 4, a1
    p_lw a7, 4, a1
    pv_sdotsp_h t0, t4, a4
    pv_sdotsp_h t1, t4, a5
    pv_sdotsp_h t2, t4, a6
.Lfour_last:
    pv_sdotsp_h t3, t4, a7
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    sw t3, 12(a3)
    ret
me_end me_four_sums_h

/* a0 x, a1 weights, a2 taps, a3 sum */
me_function me_pixel_sum_h
    srli t5, a2, 2
    beqz t5, .Lpixel_word
    lp_setup 0, t5, .Lpixel_last
    p_lw t0, 4, a0
    p_lw t1, 16, a1
    p_lw t2, 4, a0
    p_lw t3, 16, a1
    pv_sdotsp_h a3, t0, t1
.Lpixel_last:
    pv_sdotsp_h a3, t2, t3
.Lpixel_word:
    andi t5, a2, 2
    beqz t5, .Lpixel_odd
    p_lw t0, 4, a0
    p_lw t1, 16, a1
    pv_sdotsp_h a3, t0, t1
.Lpixel_odd:
    andi t5, a2, 1
    beqz t5, .Lpixel_done
    p_lh t0, 2, a0
    lw t1, 0(a1)                /* its high half is zero */
    pv_sdotsp_h a3, t0, t1
.Lpixel_done:
    mv a0, a3
    ret
me_end me_pixel_sum_h

/* loads the sixteen sums, row by row, from a4, or stores them there */
.macro sums op
    \op t0, 0(a4)
    \op t1, 4(a4)
    \op t2, 8(a4)
    \op t3, 12(a4)
    \op t4, 16(a4)
    \op t5, 20(a4)
    \op t6, 24(a4)
    \op s0, 28(a4)
    \op s1, 32(a4)
    \op s2, 36(a4)
    \op s3, 40(a4)
    \op s4, 44(a4)
    \op s5, 48(a4)
    \op s6, 52(a4)
    \op s7, 56(a4)
    \op s8, 60(a4)
.endm

/* a0 x, a1 bytes between rows, a2 weights, a3 words, a4 sums */
me_function me_sixteen_sums_h
    addi sp, sp, -64
    me_saved sw
    sw a4, 48(sp)
    sums lw
    me_block_4x4 pv_sdotsp_h, pv_sdotsp_h
    lw a4, 48(sp)
    sums sw
    me_saved lw
    addi sp, sp, 64
    ret
me_end me_sixteen_sums_h

/* a0 sums, a1 channels, a2 scale, a3 y, a4 windows, a5 number of channels, a6 step, a7 wide; values of
 * `size` bytes */
.macro store_channels store, size
1:  lw t3, 4(a1)                /* me_channel: bias, mult, offset, shift */
    lw t4, 8(a1)
    lw t5, 12(a1)
    mv t6, a0
    mv a2, a3
    lp_setup 0, a4, .Lstored\@
    p_lw s0, 16, t6
    nop
    sra s0, s0, t0
    mul s0, s0, t3
    p_addN_r s0, t4, t5
    p_max s0, s0, t1
    p_min s0, s0, t2
.Lstored\@:
    \store s0, a6, a2
    addi a0, a0, 4
    addi a1, a1, 16
    addi a3, a3, \size
    addi a5, a5, -1
    bnez a5, 1b
.endm
me_function me_store_sums
    addi sp, sp, -16
    sw s0, 0(sp)
    lw t0, 0(a2)                /* me_scale: pre, low, high */
    lw t1, 4(a2)
    lw t2, 8(a2)
    beqz a7, .Lstore_bytes
    store_channels p_sh_r, 2
    j .Lstore_done
.Lstore_bytes:
    store_channels p_sb_r, 1
.Lstore_done:
    lw s0, 0(sp)
    addi sp, sp, 16
    ret
me_end me_store_sums

/* a0 x, a1 n, a2 to */
me_function me_copy_halves
    andi a3, a1, 1
    srli a1, a1, 1
    beqz a1, .Lcopy_one
    lp_setup 0, a1, .Lcopy_last
    p_lw t0, 4, a0
    nop
.Lcopy_last:
    p_sw t0, 4, a2
.Lcopy_one:
    beqz a3, .Lcopy_done
    p_lh t0, 2, a0
    p_sh t0, 2, a2
.Lcopy_done:
    ret
me_end me_copy_halves

me_function me_widen_bytes
    andi a3, a1, 1
    srli a1, a1, 1
    beqz a1, .Lwiden_one
    lp_setup 0, a1, .Lwiden_last
    p_lb t0, 1, a0
    p_lb t1, 1, a0
    nop
    pv_pack_h t0, t1, t0
.Lwiden_last:
    p_sw t0, 4, a2
.Lwiden_one:
    beqz a3, .Lwiden_done
    p_lb t0, 1, a0
    p_sh t0, 2, a2
.Lwiden_done:
    ret
me_end me_widen_bytes

#endif
