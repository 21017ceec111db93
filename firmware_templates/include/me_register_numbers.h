/* SPDX-License-Identifier: Apache-2.0
 * Register numbers by name, for assembly and for C whose instructions are words (-DME_XPULP_WORD): the
 * assembler looks up the numbers of the registers that the compiler names.
 */
#ifndef ME_REGISTER_NUMBERS_H
#define ME_REGISTER_NUMBERS_H

/* clang-format off */
#define ME_REGISTER_NUMBERS(SET)                                                                \
    SET(0, zero) SET(1, ra) SET(2, sp) SET(3, gp) SET(4, tp) SET(5, t0) SET(6, t1) SET(7, t2)   \
    SET(8, s0) SET(9, s1) SET(10, a0) SET(11, a1) SET(12, a2) SET(13, a3) SET(14, a4) SET(15, a5) \
    SET(16, a6) SET(17, a7) SET(18, s2) SET(19, s3) SET(20, s4) SET(21, s5) SET(22, s6) SET(23, s7) \
    SET(24, s8) SET(25, s9) SET(26, s10) SET(27, s11) SET(28, t3) SET(29, t4) SET(30, t5) SET(31, t6)
/* clang-format on */

#endif
