/* SPDX-License-Identifier: Apache-2.0
 * me_bit_planes.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"

/* Swaps the bits of a, shifted by n, that `mask` selects with those of b; overwrites t. */
.macro exchange a, b, n, mask, t
    srli \t, \a, \n
    xor \t, \t, \b
    and \t, \t, \mask
    xor \b, \b, \t
    slli \t, \t, \n
    xor \a, \a, \t
.endm

/* y = the lower halves of a and b, b = their upper halves; overwrites a. */
.macro exchange_halves a, b, y
    pv_pack_h \y, \b, \a
    srli \a, \a, 16
    p_insert_low \b, \a
.endm

/* y = bytes 0 and 2 of a and of b alternately, b = bytes 1 and 3 likewise; overwrites a. t2: shuffle
 * indices */
.macro exchange_bytes a, b, y
    pv_shuffle_b \a, \a, t2
    pv_shuffle_b \b, \b, t2
    exchange_halves \a, \b, \y
    pv_shuffle_b \y, \y, t2
    pv_shuffle_b \b, \b, t2
.endm

/* a0 x, a1 groups, a2 planes. A byte's index in its group has the bits N3 .. N0, a bit's index in its byte
 * B2 .. B0. The transposition swaps index bits: N2 and B2 between words that differ in N2; then, between
 * words that differ in N3: N3 and N0, N0 and B0, B0 and N1, N1 and B1. */
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
    exchange a3, a4, 4, t5, t0
    exchange a5, a6, 4, t5, t0
    exchange_bytes a3, a5, t0
    exchange_bytes a4, a6, a3
    exchange t0, a5, 1, t3, t1
    exchange a3, a6, 1, t3, t1
    exchange_halves t0, a5, t1
    exchange_halves a3, a6, a4
    exchange t1, a5, 2, t4, t0
    exchange a4, a6, 2, t4, t0
    lui t0, 0xFFFF0
    xor a6, a6, t0
    p_sw t1, 4, a2
    p_sw a5, 4, a2
    p_sw a4, 4, a2
.Lplanes_last:
    p_sw a6, 4, a2
    mv a0, a7
    ret
me_end me_bit_planes

#endif
