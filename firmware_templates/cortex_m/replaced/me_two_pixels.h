/* SPDX-License-Identifier: Apache-2.0
 * Sums of products of weights, bytes in blocks of four channels, with taps of two pixels as halves, by SMLAD.
 */
#ifndef ME_TWO_PIXELS_H
#define ME_TWO_PIXELS_H

#include "me_intrinsics.h"
#include "me_scale.h"

#ifdef ME_DSP

/* The work of me_run_two_pixels, which knows these offsets, and changes what it counts.
 *   weights   of two channels; `step` bytes from their end, and then `next` bytes from the end of those, lead to
 *             the next two, and so on
 *   y, end    of the first of two pixels, and its end
 *   taps      of two pixels as halves: of each word bytes 0 and 2, then 1 and 3, of the first pixel and of the second
 *   from, to  four sums for each pair of channels, instead of the start at the biases and of the results; or 0
 *   special   whether there is any of `from`, `to`, pre and other limits than those of int8 */
typedef struct {
    const int8_t *weights;
    int32_t step, next;
    const me_channel *channels;
    int8_t *y;
    int32_t y_stride;
    const int8_t *end;
    const uint32_t *taps;
    int32_t steps;
    const int32_t *from;
    int32_t special;
    int32_t *to;
    int32_t pre, low, high, limits;
} me_two_pixels;

/* A word of weights times the taps of two pixels in r8 to r11. */
#define ME_2X1(WORD, FIRST, SECOND) \
    "sxtb16 r0, " WORD ", ror #8\n sxtb16 " WORD ", " WORD "\n" \
    "smlad " FIRST ", r8, " WORD ", " FIRST "\n smlad " FIRST ", r9, r0, " FIRST "\n" \
    "smlad " SECOND ", r10, " WORD ", " SECOND "\n smlad " SECOND ", r11, r0, " SECOND "\n"
#define ME_2X2 \
    "ldm r1!, {r8-r11}\n ldrd r3, r12, [r2], #16\n" ME_2X1("r3", "r4", "r6") ME_2X1("r12", "r5", "r7")

#define ME_OF_FOUR(OPERATION) OPERATION("r4") OPERATION("r5") OPERATION("r6") OPERATION("r7")
#define ME_SHIFTED(SUM) "asrs " SUM ", " SUM ", r3\n"
#define ME_SATURATED(SUM) "ssat " SUM ", #8, " SUM "\n"
#define ME_LIMITED(SUM) \
    "cmp " SUM ", r8\n it lt\n movlt " SUM ", r8\n cmp " SUM ", r9\n it gt\n movgt " SUM ", r9\n"
/* Sums times the constants of two channels at r12, which then leads to those of the next two. */
#define ME_SCALED \
    "ldm r12!, {r0, r1, r3, r8-r11, lr}\n" /* bias, mult, offset, shift of both */ \
    "mla r4, r4, r1, r3\n mla r6, r6, r1, r3\n asrs r4, r4, r8\n asrs r6, r6, r8\n" \
    "mla r5, r5, r10, r11\n mla r7, r7, r10, r11\n asrs r5, r5, lr\n asrs r7, r7, lr\n" \
    "ldr r0, [sp]\n str r12, [r0, #12]\n"
#define ME_STORED \
    "ldrd r8, r9, [r0, #16]\n bfi r4, r5, #8, #8\n bfi r6, r7, #8, #8\n" /* y, y_stride */ \
    "strh r6, [r8, r9]\n strh r4, [r8], #2\n str r8, [r0, #16]\n"
/* The next weights at r2; equal: these were the last. */
#define ME_NEXT_PAIR \
    "ldrd r3, r1, [r0, #4]\n add r2, r3\n strd r1, r3, [r0, #4]\n ldr r3, [r0, #24]\n cmp r8, r3\n"

/* clang-format off */
/* Sums, or results, of two pixels and pairs of channels. The compiler would keep sums in memory. */
ME_NAKED void me_run_two_pixels(ME_ASM_READS(me_two_pixels *work))
{
    __asm__("push {r0, r4-r11, lr}\n"
            "ldr r2, [r0]\n ldr r12, [r0, #12]\n"
            "1: ldr r3, [r0, #36]\n" /* from */
            "cbz r3, 2f\n"
            "ldm r3!, {r4-r7}\n str r3, [r0, #36]\n"
            "b 3f\n"
            "2: ldr r4, [r12]\n ldr r5, [r12, #16]\n mov r6, r4\n mov r7, r5\n"
            "3: ldrd r1, lr, [r0, #28]\n lsls r3, lr, #31\n" /* negative: a step; carry: two more */
            "bpl 4f\n" ME_2X2
            "4: bcc 5f\n" ME_2X2 ME_2X2
            "5: lsrs lr, lr, #2\n"
            "beq 7f\n"
            "6:\n" ME_2X2 ME_2X2 ME_2X2 ME_2X2 "subs lr, lr, #1\n"
            "bne 6b\n"
            "7: ldr r0, [sp]\n ldr r3, [r0, #40]\n ldr r12, [r0, #12]\n"
            "cbz r3, 8f\n"
            "b 9f\n"
            "8:\n" ME_SCALED ME_OF_FOUR(ME_SATURATED) ME_STORED ME_NEXT_PAIR
            "bne 2b\n"
            "pop {r0, r4-r11, pc}\n"
            "9: ldrd r1, r3, [r0, #44]\n" /* to, pre */
            "cbz r1, 10f\n"
            "stm r1!, {r4-r7}\n str r1, [r0, #44]\n adds r12, r12, #32\n str r12, [r0, #12]\n"
            "ldr r8, [r0, #16]\n adds r8, r8, #2\n str r8, [r0, #16]\n"
            "b 13f\n"
            "10:\n" ME_OF_FOUR(ME_SHIFTED) ME_SCALED "ldr r3, [r0, #60]\n"
            "cbz r3, 11f\n"
            "ldrd r8, r9, [r0, #52]\n" ME_OF_FOUR(ME_LIMITED)
            "b 12f\n"
            "11:\n" ME_OF_FOUR(ME_SATURATED)
            "12:\n" ME_STORED
            "13:\n" ME_NEXT_PAIR
            "bne 1b\n"
            "pop {r0, r4-r11, pc}\n");
}
/* clang-format on */

/* The halves of a word of weights times the taps in r8 and r9. */
#define ME_1X1(WORD, SUM) \
    "sxtb16 r2, " WORD ", ror #8\n sxtb16 " WORD ", " WORD "\n" \
    "smlad " SUM ", r9, r2, " SUM "\n smlad " SUM ", r8, " WORD ", " SUM "\n"
#define ME_TAPS_OF_BYTES "ldr r8, [r1], #4\n sxtb16 r9, r8, ror #8\n sxtb16 r8, r8\n"
#define ME_TAPS_OF_HALVES "ldrd r8, r9, [r1], #8\n"
#define ME_1X4(TAPS) \
    TAPS "ldm r3!, {r0, r10, r11, r12}\n" ME_1X1("r0", "r4") ME_1X1("r10", "r5") ME_1X1("r11", "r6") \
        ME_1X1("r12", "r7")

/* Adds the products of `steps` words of taps, bytes or their halves, with four channels to four sums. */
/* clang-format off */
#define ME_ADD_1X4(NAME, TAPS) \
    ME_NAKED void NAME(ME_ASM_READS(int32_t *sum), ME_ASM_READS(const int8_t *x), \
                       ME_ASM_READS(int32_t steps), ME_ASM_READS(const int8_t *weights)) \
    { \
        __asm__("push {r4-r11, lr}\n" \
                "mov lr, r2\n" \
                "push {r0}\n" \
                "ldm r0, {r4-r7}\n" \
                "lsls r0, lr, #31\n" \
                "beq 1f\n" ME_1X4(TAPS) "1: lsrs lr, lr, #1\n" \
                "beq 3f\n" \
                "2:\n" ME_1X4(TAPS) ME_1X4(TAPS) "subs lr, lr, #1\n" \
                "bne 2b\n" \
                "3: pop {r0}\n" \
                "stm r0, {r4-r7}\n" \
                "pop {r4-r11, pc}\n"); \
    }
/* clang-format on */

#endif

#endif
