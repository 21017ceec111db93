/* SPDX-License-Identifier: Apache-2.0
 * Sums of me_depthwise_rows.c with SMLAD, where there is the DSP extension. The compiler would keep sums in memory.
 */
#ifndef ME_DEPTHWISE_DSP_H
#define ME_DEPTHWISE_DSP_H

#include "me_intrinsics.h"

#ifdef ME_DSP

/* ---- 3 x 3: a column is a word of rows for every channel */

/* clang-format off */
/* The weights of a channel as halves: of rows 0 and 2 of three columns, and of row 1 of columns 0 and 1, then 2. */
#define ME_WEIGHTS \
    "ldr r4, [r1]\n ldr r5, [r1, #16]\n ldr r6, [r1, #32]\n" \
    "sxtb16 r7, r4, ror #8\n sxtb16 r8, r5, ror #8\n sxtb16 r1, r6, ror #8\n" \
    "sxtb16 r4, r4\n sxtb16 r5, r5\n sxtb16 r6, r6\n pkhbt r7, r7, r8, lsl #16\n"
/* The next column as halves: rows 0 and 2, then 1 and 3. */
#define ME_COLUMN(EVEN, ODD) \
    "ldr " EVEN ", [r0], #4\n sxtb16 " ODD ", " EVEN ", ror #8\n sxtb16 " EVEN ", " EVEN "\n"
/* Adds the products of a column's rows 0 and 2 in OUTER, and of row 1 in INNER. X: x, if OUTER is exchanged; A, H: the
 * halves with row 1, and with its weight */
#define ME_ADD_COLUMN(SUM, OUTER, INNER, X, A, H, W, MIDDLE) \
    "smlad" X " " SUM ", " OUTER ", " W ", " SUM "\n smla" A H " " SUM ", " INNER ", " MIDDLE ", " SUM "\n"
#define ME_BEGIN_COLUMN(SUM, OUTER, INNER, X, A) \
    "smuad" X " " SUM ", " OUTER ", r4\n smla" A "b " SUM ", " INNER ", r7, " SUM "\n"

/* An upper result in r12 and a lower one in lr. X, U, L: x, t, b if rows 2 and 3 come first, otherwise nothing, b, t */
#define ME_TWO(X, U, L, E0, O0, E1, O1) \
    ME_BEGIN_COLUMN("r12", E0, O0, X, U) \
    ME_BEGIN_COLUMN("lr", O0, E0, X, L) \
    ME_COLUMN(E0, O0) \
    ME_ADD_COLUMN("r12", E1, O1, X, U, "t", "r5", "r7") \
    ME_ADD_COLUMN("lr", O1, E1, X, L, "t", "r5", "r7") \
    ME_ADD_COLUMN("r12", E0, O0, X, U, "b", "r6", "r1") \
    ME_ADD_COLUMN("lr", O0, E0, X, L, "b", "r6", "r1") \
    "strd r12, lr, [r3], #8\n subs r2, #1\n"

/* Sums of n vertical pairs of results of one channel, stride 1. */
#define ME_STRIP_SUMS(NAME, X, U, L) \
    ME_NAKED void NAME(ME_ASM_READS(const int8_t *vectors), ME_ASM_READS(const int8_t *weights), \
                       ME_ASM_READS(int32_t n), ME_ASM_READS(int32_t *sums)) \
    { \
        __asm__("push {r4-r11, lr}\n" ME_WEIGHTS ME_COLUMN("r8", "r9") ME_COLUMN("r10", "r11") \
                "1:\n" ME_TWO(X, U, L, "r8", "r9", "r10", "r11") "beq 2f\n" \
                ME_TWO(X, U, L, "r10", "r11", "r8", "r9") "bne 1b\n" \
                "2: pop {r4-r11, pc}\n"); \
    }
ME_STRIP_SUMS(me_strip_sums, "", "b", "t")
ME_STRIP_SUMS(me_turned_strip_sums, "x", "t", "b")

/* Sums of n results of one channel, horizontal stride 2. */
ME_NAKED void me_row_sums(ME_ASM_READS(const int8_t *vectors), ME_ASM_READS(const int8_t *weights),
                          ME_ASM_READS(int32_t n), ME_ASM_READS(int32_t *sums))
{
    __asm__("push {r4-r11, lr}\n" ME_WEIGHTS ME_COLUMN("r8", "r9")
            "1:\n" ME_BEGIN_COLUMN("r12", "r8", "r9", "", "b")
            ME_COLUMN("r10", "r11") ME_ADD_COLUMN("r12", "r10", "r11", "", "b", "t", "r5", "r7")
            ME_COLUMN("r8", "r9") ME_ADD_COLUMN("r12", "r8", "r9", "", "b", "b", "r6", "r1")
            "str r12, [r3], #4\n subs r2, #1\n bne 1b\n"
            "pop {r4-r11, pc}\n");
}

/* ---- any window: sums of four channels of one result */

/* Four channels of the pixel of a tap: channels 0 and 2 as halves, then 1 and 3. */
#define ME_PIXEL(TAP, EVEN, ODD) \
    "ldr " EVEN ", [r1, #" TAP "]\n ldr " EVEN ", [r12, " EVEN "]\n" \
    "sxtb16 " ODD ", " EVEN ", ror #8\n sxtb16 " EVEN ", " EVEN "\n"
/* Two weights of a channel, times two halves. */
#define ME_ADD(WORD, ROR, X, SUM) "sxtb16 " WORD ", " WORD ROR "\n smlad " SUM ", " X ", " WORD ", " SUM "\n"
#define ME_TAPS_2(FIRST, SECOND, ROR) \
    ME_PIXEL(FIRST, "r8", "r9") \
    ME_PIXEL(SECOND, "r10", "r11") \
    "pkhbt lr, r8, r10, lsl #16\n pkhtb r10, r10, r8, asr #16\n" \
    "pkhbt r8, r9, r11, lsl #16\n pkhtb r11, r11, r9, asr #16\n" \
    "ldrd r0, r9, [r2]\n" ME_ADD("r0", ROR, "lr", "r4") \
        ME_ADD("r9", ROR, "r8", "r5") "ldrd r0, r9, [r2, #8]\n" ME_ADD("r0", ROR, "r10", "r6") \
            ME_ADD("r9", ROR, "r11", "r7")

/* corner: base of the addresses in `taps`, of four taps in each of `blocks` blocks */
ME_NAKED void me_four_sums(ME_ASM_READS(int32_t *sums), ME_ASM_READS(const intptr_t *taps), ME_ASM_READS(const int8_t *weights),
                        ME_ASM_READS(int32_t blocks), ME_ASM_READS(intptr_t corner))
{
    __asm__("push {r0, r4-r11, lr}\n"
            "ldr r12, [sp, #40]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "1:\n" ME_TAPS_2("0", "8", "")
                ME_TAPS_2("4", "12", ", ror #8") "adds r1, #16\n adds r2, #16\n subs r3, #1\n"
                                                 "bne 1b\n"
                                                 "pop {r0}\n"
                                                 "stm r0, {r4-r7}\n"
                                                 "pop {r4-r11, pc}\n");
}
/* clang-format on */

#endif

#endif
