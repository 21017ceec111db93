/* SPDX-License-Identifier: Apache-2.0
 * me_group_rows.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* a0 x, a1 n, a2 step, a3 sums */
me_function me_moments_apart
    li t0, 0
    li t1, 0
    srli a4, a1, 1
    beqz a4, .Lapart_rest
    lp_setup 0, a4, .Lapart_last
    p_lb_r t3, a2, a0
    p_lb_r t4, a2, a0
    add t0, t0, t3
    p_mac t1, t3, t3
    add t0, t0, t4
.Lapart_last:
    p_mac t1, t4, t4
.Lapart_rest:
    andi a1, a1, 1
    beqz a1, .Lapart_done
    lb t3, 0(a0)
    nop
    add t0, t0, t3
    p_mac t1, t3, t3
.Lapart_done:
    sw t0, 0(a3)
    sw t1, 4(a3)
    ret
me_end me_moments_apart

/* loads fields of the run at a3 */
.macro run_fields
    lw t6, 0(a3)
    lw t5, 4(a3)
    lw a6, 8(a3)
    lw a7, 12(a3)
    lw t4, 16(a3)
    lw a4, 20(a3)
    lw a5, 24(a3)
    lw t3, 28(a3)
.endm

/* normalises the values t1 and t2, or t1 only */
.macro normalised_two
    mul t1, t1, t6
    mul t2, t2, t6
    p_addN_r t1, t5, a6
    p_addN_r t2, t5, a6
    mul t1, t1, a7
    mul t2, t2, a7
    p_addN_r t1, t4, a4
    p_addN_r t2, t4, a4
    p_max t1, t1, a5
    p_max t2, t2, a5
    p_min t1, t1, t3
    p_min t2, t2, t3
.endm

.macro normalised_one
    mul t1, t1, t6
    p_addN_r t1, t5, a6
    mul t1, t1, a7
    p_addN_r t1, t4, a4
    p_max t1, t1, a5
    p_min t1, t1, t3
.endm

/* a0 x, a1 y, a2 n, a3 run */
me_function me_normalise_run
    run_fields
    lw a3, 32(a3)
    srli t0, a2, 1
    beqz t0, .Lrun_rest
    lp_setup 0, t0, .Lrun_last
    p_lb_r t1, a3, a0
    p_lb_r t2, a3, a0
    normalised_two
    p_sb_r t1, a3, a1
.Lrun_last:
    p_sb_r t2, a3, a1
.Lrun_rest:
    andi a2, a2, 1
    beqz a2, .Lrun_done
    lb t1, 0(a0)
    nop
    normalised_one
    sb t1, 0(a1)
.Lrun_done:
    ret
me_end me_normalise_run

/* a0 x, a1 n, a2 step, a3 sums; t1 adds the squares' lower halves, t2 their upper halves */
me_function me_moments_apart_h
    li t0, 0
    li t1, 0
    li t2, 0
    li a5, 0xffff
    lp_setup 0, a1, .Lapart_h_last
    p_lh_r t3, a2, a0
    nop
    add t0, t0, t3
    mul t3, t3, t3
    and t4, t3, a5
    srli t3, t3, 16
    add t1, t1, t4
.Lapart_h_last:
    add t2, t2, t3
    sw t0, 0(a3)
    sw t1, 4(a3)
    sw t2, 8(a3)
    ret
me_end me_moments_apart_h

/* a0 x, a1 words, a2 sums; the sum of two squares is at most 2**31, which is why it is unsigned */
me_function me_moments_words_h
    li t0, 0
    li t1, 0
    li t2, 0
    li a4, 0x00010001
    li a5, 0xffff
    lp_setup 0, a1, .Lwords_h_last
    p_lw t3, 4, a0
    nop
    pv_sdotsp_h t0, t3, a4
    pv_dotsp_h t3, t3, t3
    and t4, t3, a5
    srli t3, t3, 16
    add t1, t1, t4
.Lwords_h_last:
    add t2, t2, t3
    sw t0, 0(a2)
    sw t1, 4(a2)
    sw t2, 8(a2)
    ret
me_end me_moments_words_h

/* a0 x, a1 y, a2 n, a3 run */
.macro normalise_run name, load, store
me_function \name
    addi sp, sp, -16
    me_saved sw, 1
    run_fields
    lw s0, 36(a3)
    lw a3, 32(a3)
    srli t0, a2, 1
    beqz t0, .Lrest_\name
    lp_setup 0, t0, .Llast_\name
    \load t1, a3, a0
    \load t2, a3, a0
    normalised_two
    \store t1, s0, a1
.Llast_\name:
    \store t2, s0, a1
.Lrest_\name:
    andi a2, a2, 1
    beqz a2, .Ldone_\name
    \load t1, a3, a0
    nop
    normalised_one
    \store t1, s0, a1
.Ldone_\name:
    me_saved lw, 1
    addi sp, sp, 16
    ret
me_end \name
.endm

normalise_run me_normalise_run_b_h, p_lb_r, p_sh_r
normalise_run me_normalise_run_h_b, p_lh_r, p_sb_r
normalise_run me_normalise_run_h_h, p_lh_r, p_sh_r

/* a0 x, a1 words, a2 sums */
me_function me_moments_words_b
    li t0, 0
    li t1, 0
    li t2, 0x01010101
    srli a3, a1, 1
    beqz a3, .Lmoments_b_rest
    lp_setup 0, a3, .Lmoments_b_last
    p_lw t3, 4, a0
    p_lw t4, 4, a0
    pv_sdotsp_b t0, t3, t2
    pv_sdotsp_b t1, t3, t3
    pv_sdotsp_b t0, t4, t2
.Lmoments_b_last:
    pv_sdotsp_b t1, t4, t4
.Lmoments_b_rest:
    andi a1, a1, 1
    beqz a1, .Lmoments_b_done
    lw t3, 0(a0)
    pv_sdotsp_b t0, t3, t2
    pv_sdotsp_b t1, t3, t3
.Lmoments_b_done:
    sw t0, 0(a2)
    sw t1, 4(a2)
    ret
me_end me_moments_words_b

#endif
