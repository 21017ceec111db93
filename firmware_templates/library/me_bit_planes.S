/* SPDX-License-Identifier: Apache-2.0
 * me_bit_planes.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* Bits of a that `mask` selects, after a shift by n, change places with those of b; t is lost. */
.macro exchange a, b, n, mask, t
    srli \t, \a, \n
    xor \t, \t, \b
    and \t, \t, \mask
    xor \b, \b, \t
    slli \t, \t, \n
    xor \a, \a, \t
.endm

/* Bytes 0 and 2 of a and of b to y, bytes 1 and 3 of both to b; a is lost. t2: order */
.macro halves a, b, y
    pv_shuffle_b \a, \a, t2
    pv_shuffle_b \b, \b, t2
    pv_pack_h \y, \b, \a
    srli \a, \a, 16
    p_insert_low \b, \a
.endm

/* a0 x, a1 groups, a2 planes. Word j of a group's bytes j, j + 4, j + 8, j + 12 first: then bits 0 and
 * 1 of a byte's number and of a bit's change places, then bits 2. */
me_function me_bit_planes
    li a7, 0
    li t2, 0x03010200
    li t3, 0x55555555
    li t4, 0x33333333
    li t5, 0x0F0F0F0F
    li t6, 0x01010101
    lp_setup 0, a1, .Lplanes_last
    p_lw a3, 4, a0
    p_lw a4, 4, a0
    p_lw a5, 4, a0
    p_lw a6, 4, a0
    pv_sdotsp_b a7, a3, t6
    pv_sdotsp_b a7, a4, t6
    pv_sdotsp_b a7, a5, t6
    pv_sdotsp_b a7, a6, t6
    me_transpose_4x4 a3, a4, a5, a6, t0, t1, t2
    exchange a3, t1, 1, t3, t0
    exchange a5, a6, 1, t3, t0
    exchange a3, a5, 2, t4, t0
    exchange t1, a6, 2, t4, t0
    halves a3, t1, t0
    halves a5, a6, a4
    exchange t0, t1, 4, t5, a3
    exchange a4, a6, 4, t5, a3
    lui a3, 0xFFFF0
    xor a6, a6, a3
    p_sw t0, 4, a2
    p_sw a4, 4, a2
    p_sw t1, 4, a2
.Lplanes_last:
    p_sw a6, 4, a2
    mv a0, a7
    ret
me_end me_bit_planes

#endif
