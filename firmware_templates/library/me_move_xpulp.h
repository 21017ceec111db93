/* SPDX-License-Identifier: Apache-2.0
 * Xpulpv2 for assembly that any RISC-V assembler takes: one macro an instruction, operands in the
 * order of the manuals. Loads and stores are those with post-increment, by a constant or (_r) by a
 * register; those without are named _at. In hardware loops no compressed instructions and nothing
 * that the linker makes shorter: distances are written into the instructions.
 */
#ifndef ME_MOVE_XPULP_H
#define ME_MOVE_XPULP_H

    .option norvc
    .option norelax

/* a function in a section of its own, its start on a line of the instruction cache */
.macro me_function name
    .section .text.\name, "ax"
    .balign 16
    .globl \name
    .type \name, @function
\name:
.endm
.macro me_end name
    .size \name, . - \name
.endm

/* sw or lw of the first \count of s0 .. s11, which a function leaves as they were, from \at on */
.macro me_saved op, count=12, at=0
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    .if \n < \count
    \op s\n, \at + 4 * \n(sp)
    .endif
    .endr
.endm

    .set me_number_x0, 0
    .set me_number_t0, 5
    .set me_number_t1, 6
    .set me_number_t2, 7
    .set me_number_s0, 8
    .set me_number_s1, 9
    .set me_number_a0, 10
    .set me_number_a1, 11
    .set me_number_a2, 12
    .set me_number_a3, 13
    .set me_number_a4, 14
    .set me_number_a5, 15
    .set me_number_a6, 16
    .set me_number_a7, 17
    .set me_number_t3, 28
    .set me_number_t4, 29
    .set me_number_t5, 30
    .set me_number_t6, 31

/* what follows, up to and with the instruction at `last`, `count` times, at least once; loop 0 is
 * the inner one */
.macro lp_setup loop, count, last
.Lsetup\@:
    .word 0x407b | (\loop << 7) | (me_number_\count << 15) | (((\last - .Lsetup\@) / 2) << 20)
.endm

.macro p_lb rd, step, at
    .insn i 0x0b, 0, \rd, \at, \step
.endm
.macro p_lh rd, step, at
    .insn i 0x0b, 1, \rd, \at, \step
.endm
.macro p_lw rd, step, at
    .insn i 0x0b, 2, \rd, \at, \step
.endm
.macro p_lbu rd, step, at
    .insn i 0x0b, 4, \rd, \at, \step
.endm
.macro p_lb_r rd, step, at
    .insn r 0x0b, 7, 0x00, \rd, \at, \step
.endm
.macro p_lw_r rd, step, at
    .insn r 0x0b, 7, 0x10, \rd, \at, \step
.endm
.macro p_lb_at rd, offset, at
    .insn r 0x03, 7, 0x00, \rd, \at, \offset
.endm
.macro p_lbu_at rd, offset, at
    .insn r 0x03, 7, 0x20, \rd, \at, \offset
.endm
.macro p_lhu_at rd, offset, at
    .insn r 0x03, 7, 0x28, \rd, \at, \offset
.endm
.macro p_lw_at rd, offset, at
    .insn r 0x03, 7, 0x10, \rd, \at, \offset
.endm
.macro p_sb rs, step, at
    .insn s 0x2b, 0, \rs, \step(\at)
.endm
.macro p_sh rs, step, at
    .insn s 0x2b, 1, \rs, \step(\at)
.endm
.macro p_sw rs, step, at
    .insn s 0x2b, 2, \rs, \step(\at)
.endm
.macro p_sb_r rs, step, at
    .insn r 0x2b, 4, 0x00, \step, \at, \rs
.endm
.macro p_sw_r rs, step, at
    .insn r 0x2b, 6, 0x00, \step, \at, \rs
.endm

.macro p_min rd, a, b
    .insn r 0x33, 4, 0x02, \rd, \a, \b
.endm
.macro p_minu rd, a, b
    .insn r 0x33, 5, 0x02, \rd, \a, \b
.endm
.macro p_max rd, a, b
    .insn r 0x33, 6, 0x02, \rd, \a, \b
.endm
.macro p_clip8 rd, a
    .insn r 0x33, 1, 0x0a, \rd, \a, x8
.endm
.macro p_clip16 rd, a
    .insn r 0x33, 1, 0x0a, \rd, \a, x16
.endm
.macro p_mac rd, a, b
    .insn r 0x33, 0, 0x21, \rd, \a, \b
.endm
.macro p_msu rd, a, b
    .insn r 0x33, 1, 0x21, \rd, \a, \b
.endm
.macro p_ror rd, a, b
    .insn r 0x33, 5, 0x04, \rd, \a, \b
.endm
/* rd = (rd + a) >> n, arithmetic */
.macro p_addN_r rd, a, n
    .insn r 0x5b, 2, 0x20, \rd, \a, \n
.endm
/* products of the lower and of the upper halves, signed */
.macro p_muls rd, a, b
    .insn r 0x5b, 0, 0x40, \rd, \a, \b
.endm
.macro p_mulhhs rd, a, b
    .insn r 0x5b, 0, 0x60, \rd, \a, \b
.endm
.macro p_macs rd, a, b
    .insn r 0x5b, 1, 0x40, \rd, \a, \b
.endm
.macro p_machhs rd, a, b
    .insn r 0x5b, 1, 0x60, \rd, \a, \b
.endm
/* the lower half of a becomes the lower half of rd */
.macro p_insert_low rd, a
    .insn r 0x33, 2, 0x6f, \rd, \a, x0
.endm
/* byte 1, byte 2 of a, signed */
.macro p_extract_1 rd, a
    .insn r 0x33, 0, 0x67, \rd, \a, x8
.endm
.macro p_extract_2 rd, a
    .insn r 0x33, 0, 0x67, \rd, \a, x16
.endm
.macro p_clip14 rd, a
    .insn r 0x33, 1, 0x0a, \rd, \a, x14
.endm
.macro p_clip15 rd, a
    .insn r 0x33, 1, 0x0a, \rd, \a, x15
.endm
/* rd = (a + half) >> n, arithmetic: rounded */
.macro p_round rd, a, n
    .insn r 0x5b, 6, \n, \rd, \a, x0
.endm
.macro p_extbs rd, a
    .insn r 0x33, 6, 0x08, \rd, \a, x0
.endm

/* halves: upper = lower half of high, lower = lower half of low */
.macro pv_pack_h rd, high, low
    .insn r 0x57, 0, 0x68, \rd, \high, \low
.endm
.macro pv_packhi_b rd, b3, b2
    .insn r 0x57, 1, 0x6c, \rd, \b3, \b2
.endm
.macro pv_packlo_b rd, b1, b0
    .insn r 0x57, 1, 0x70, \rd, \b1, \b0
.endm
.macro pv_shuffle_b rd, a, order
    .insn r 0x57, 1, 0x60, \rd, \a, \order
.endm
.macro pv_sra8_h rd, a
    .insn r 0x57, 6, 0x24, \rd, \a, x4
.endm
.macro pv_sra_sc_h rd, a, n
    .insn r 0x57, 4, 0x24, \rd, \a, \n
.endm
.macro pv_sll8_h rd, a
    .insn r 0x57, 6, 0x28, \rd, \a, x4
.endm
.macro pv_sub_sc_h rd, a, b
    .insn r 0x57, 4, 0x04, \rd, \a, \b
.endm
.macro pv_min_h rd, a, b
    .insn r 0x57, 0, 0x10, \rd, \a, \b
.endm
.macro pv_max_h rd, a, b
    .insn r 0x57, 0, 0x18, \rd, \a, \b
.endm
.macro pv_min_b rd, a, b
    .insn r 0x57, 1, 0x10, \rd, \a, \b
.endm
.macro pv_max_b rd, a, b
    .insn r 0x57, 1, 0x18, \rd, \a, \b
.endm
.macro pv_dotsp_b rd, a, b
    .insn r 0x57, 1, 0x4c, \rd, \a, \b
.endm
.macro pv_dotsp_h rd, a, b
    .insn r 0x57, 0, 0x4c, \rd, \a, \b
.endm
.macro pv_sdotsp_h rd, a, b
    .insn r 0x57, 0, 0x5c, \rd, \a, \b
.endm
.macro pv_sdotup_b rd, a, b
    .insn r 0x57, 1, 0x50, \rd, \a, \b
.endm
.macro pv_dotusp_b rd, a, b
    .insn r 0x57, 1, 0x44, \rd, \a, \b
.endm
.macro pv_sdotusp_b rd, a, b
    .insn r 0x57, 1, 0x54, \rd, \a, \b
.endm
.macro pv_sdotsp_b rd, a, b
    .insn r 0x57, 1, 0x5c, \rd, \a, \b
.endm

/* rd = four times the lowest byte of rd */
.macro me_repeat_b rd, spare
    mv \spare, \rd
    pv_packlo_b \rd, \spare, \spare
    pv_packhi_b \rd, \spare, \spare
.endm

/* Four words of four bytes, a .. d, become words of one byte of each: a of the bytes 0, q of the
 * bytes 1, c of the bytes 2, d of the bytes 3; b and p are lost. `order` is 0x03010200. */
.macro me_transpose a, b, c, d, p, q, order
    pv_pack_h \p, \b, \a
    srli \a, \a, 16
    pv_pack_h \q, \d, \c
    srli \c, \c, 16
    p_insert_low \b, \a
    p_insert_low \d, \c
    pv_shuffle_b \p, \p, \order
    pv_shuffle_b \q, \q, \order
    pv_shuffle_b \b, \b, \order
    pv_shuffle_b \d, \d, \order
    pv_pack_h \a, \q, \p
    srli \p, \p, 16
    p_insert_low \q, \p
    pv_pack_h \c, \d, \b
    srli \b, \b, 16
    p_insert_low \d, \b
.endm

/* Sixteen sums, numbers 4 r + c of t0 .. t6, s0 .. s8 for row r and channel c, go on over a3 words:
 * rows from a0 on, a1 bytes apart, each times four weights at a2. Behind it a2 is at the weights of
 * the next block; a0, a1, a3 .. a7, s9 .. s11 are lost. `dot` adds products of bytes or of halves. */
.macro me_block_4x4 dot
    add a5, a0, a1
    add a6, a5, a1
    add a4, a6, a1
    mv a1, a5
    mv a5, a6
    mv a6, a4
    lp_setup 0, a3, .Lblock_last\@
    p_lw a3, 4, a0
    p_lw s9, 4, a2
    p_lw s10, 4, a2
    p_lw s11, 4, a2
    p_lw a7, 4, a2
    p_lw a4, 4, a1
    \dot t0, a3, s9
    \dot t1, a3, s10
    \dot t2, a3, s11
    \dot t3, a3, a7
    p_lw a3, 4, a5
    \dot t4, a4, s9
    \dot t5, a4, s10
    \dot t6, a4, s11
    \dot s0, a4, a7
    p_lw a4, 4, a6
    \dot s1, a3, s9
    \dot s2, a3, s10
    \dot s3, a3, s11
    \dot s4, a3, a7
    \dot s5, a4, s9
    \dot s6, a4, s10
    \dot s7, a4, s11
.Lblock_last\@:
    \dot s8, a4, a7
.endm

#endif
