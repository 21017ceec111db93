/* SPDX-License-Identifier: Apache-2.0
 * me_gemm_s8_block.h for Cortex-M: sums of two pixels and two channels at once, which fit the registers.
 */
#include "me_gemm_s8_block.h"

#include <stdbool.h>

#include "me_math.h"

#define ME_INLINE static inline __attribute__((always_inline))

/* Adds the products of `steps` words of taps, x_step bytes apart, to the sums of `pixels` pixels and `channels` of
 * the `all` channels of a block. */
ME_INLINE void add_words(const int8_t *const *x, int32_t x_step, const int8_t *weights, int32_t all,
                         int32_t steps, int32_t pixels, int32_t channels, int32_t *sum)
{
    const int8_t *at[2];
    for (int32_t p = 0; p < pixels; p++)
        at[p] = x[p];
    for (int32_t step = 0; step < steps; step++, weights += 4 * all)
        for (int32_t p = 0; p < pixels; p++) {
            const uint32_t taps = me_step_w(&at[p], x_step);
            const int8_t *w = weights;
            for (int32_t c = 0; c < channels; c++)
                sum[p * channels + c] = me_sdotsp_b(sum[p * channels + c], taps, me_next_w(&w));
        }
}

#ifdef __ARM_FEATURE_SIMD32

/* The work of two_pixels, which knows these offsets.
 *   weights   of two channels; 8 bytes, and then `next` more, lead to those of the next two, and so on
 *   y         of the first of two pixels
 *   count     pairs of channels
 *   taps      of two pixels as halves: of each word bytes 0 and 2, then 1 and 3, of the first pixel and of the second
 *   from, to  four sums for each pair of channels, instead of the start at the biases and of the results; or 0
 *   rows      numbers added to the biases of each pixel; or 0 */
typedef struct {
    const int8_t *weights;
    int32_t step, next;
    const me_channel *channels;
    int8_t *y;
    int32_t y_stride, count;
    const uint32_t *taps;
    int32_t steps;
    const int32_t *from;
    int32_t *to;
    const int32_t *rows;
    int32_t pre, limits, low, high;
} me_two_pixels;

static void expand_pair(uint32_t *to, const int8_t *x0, const int8_t *x1, int32_t steps)
{
    for (int32_t step = 0; step < steps; step++, to += 4) {
        const uint32_t a = me_next_w(&x0), b = me_next_w(&x1);
        to[0] = me_even_b(a);
        to[1] = me_odd_b(a);
        to[2] = me_even_b(b);
        to[3] = me_odd_b(b);
    }
}

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
/* The sums of a channel, whose constants are at r12, to results. */
#define ME_REQUANTISED(AT, SHIFT_AT, FIRST, SECOND) \
    "ldrd r8, r9, [r12, #" AT "]\n ldr r10, [r12, #" SHIFT_AT "]\n" \
    "mla " FIRST ", " FIRST ", r8, r9\n mla " SECOND ", " SECOND ", r8, r9\n" \
    "asrs " FIRST ", " FIRST ", r10\n asrs " SECOND ", " SECOND ", r10\n"

/* Sums, or results, of two pixels and `count` pairs of channels. The compiler would keep sums in memory. */
__attribute__((naked, noinline)) static void two_pixels(me_two_pixels *work)
{
    __asm__("push {r0, r4-r11, lr}\n"
            "1: ldr r12, [r0, #12]\n"
            "ldrd r8, r9, [r0, #36]\n" /* from, to */
            "ldr r3, [r0, #44]\n" /* rows */
            "cmp r8, #0\n"
            "bne 2f\n"
            "ldr r4, [r12]\n ldr r5, [r12, #16]\n mov r6, r4\n mov r7, r5\n"
            "cbz r3, 3f\n"
            "ldrd r8, r9, [r3]\n"
            "add r4, r8\n add r5, r8\n add r6, r9\n add r7, r9\n"
            "b 3f\n"
            "2: ldm r8!, {r4-r7}\n"
            "str r8, [r0, #36]\n"
            "3: ldrd r1, lr, [r0, #28]\n" /* taps, steps */
            "ldr r2, [r0]\n"
            "lsls r3, lr, #31\n"
            "beq 4f\n" ME_2X2 "4: lsrs lr, lr, #1\n"
            "beq 6f\n"
            "5:\n" ME_2X2 ME_2X2 "subs lr, lr, #1\n"
            "bne 5b\n"
            "6: ldr r0, [sp]\n"
            "ldrd r8, r3, [r0, #40]\n ldr r12, [r0, #12]\n"
            "cmp r8, #0\n"
            "bne 9f\n"
            "ldrd r3, r11, [r0, #48]\n" /* pre, limits */
            "cbz r3, 7f\n" ME_OF_FOUR(ME_SHIFTED) "7:\n" ME_REQUANTISED("4", "12", "r4", "r6")
                ME_REQUANTISED("20", "28", "r5", "r7") ME_OF_FOUR(
                    ME_SATURATED) "cmp r11, #0\n"
                                  "beq 8f\n"
                                  "ldrd r8, r9, [r0, #56]\n" ME_OF_FOUR(
                                      ME_LIMITED) "8: ldrd r8, r9, [r0, #16]\n" /* y, y_stride */
                                                  "bfi r4, r5, #8, #8\n bfi r6, r7, #8, #8\n"
                                                  "strh r4, [r8]\n strh r6, [r8, r9]\n"
                                                  "adds r8, r8, #2\n"
                                                  "str r8, [r0, #16]\n"
                                                  "b 10f\n"
                                                  "9: stm r8!, {r4-r7}\n"
                                                  "str r8, [r0, #40]\n"
                                                  "10: adds r12, r12, #32\n"
                                                  "str r12, [r0, #12]\n"
                                                  "ldm r0, {r1, r2, r3}\n" /* weights, step, next */
                                                  "add r1, r2\n"
                                                  "stm r0, {r1, r3}\n str r2, [r0, #8]\n"
                                                  "ldr r3, [r0, #24]\n" /* count */
                                                  "subs r3, #1\n"
                                                  "str r3, [r0, #24]\n"
                                                  "bne 1b\n"
                                                  "pop {r0, r4-r11, pc}\n");
}

/* Computes all blocks of four channels of two pixels, x_step 4. rows: numbers added to their sums, or 0 */
static void pair_of_pixels(const me_block *b, const int8_t *const *x, const int32_t *rows, int8_t *y)
{
    enum { STEPS = 64, BLOCKS = 8 }; /* at most, at once */
    uint32_t taps[4 * STEPS];
    int32_t sums[8 * BLOCKS];
    const bool once = b->steps <= STEPS;
    for (int32_t first = 0; first < b->blocks; first += BLOCKS) {
        const int32_t blocks = once ? b->blocks : me_min(b->blocks - first, BLOCKS);
        for (int32_t step = 0; step < b->steps; step += STEPS) {
            const int32_t steps = me_min(b->steps - step, STEPS);
            me_two_pixels work = { .weights = b->weights + 16 * (first * b->steps + step),
                                   .step = 8,
                                   .next = 16 * b->steps - 8,
                                   .channels = b->channels + 4 * first,
                                   .y = y + 4 * first,
                                   .y_stride = b->y_stride,
                                   .count = 2 * blocks,
                                   .taps = taps,
                                   .steps = steps,
                                   .from = step > 0 ? sums : 0,
                                   .to = step + steps < b->steps ? sums : 0,
                                   .rows = rows,
                                   .pre = b->pre,
                                   .limits = b->limits,
                                   .low = (int8_t)b->low,
                                   .high = (int8_t)b->high };
            expand_pair(taps, x[0] + 4 * step, x[1] + 4 * step, steps);
            two_pixels(&work);
        }
        if (once)
            return;
    }
}

/* -> the pixels whose blocks of four channels were computed, two at a time; x_step is 4 */
ME_INLINE int32_t pairs_of_pixels(const me_block *b, const int8_t *const *x, const int32_t *rows, int8_t *y,
                                  int32_t pixels)
{
    int32_t done = 0;
    for (; done + 2 <= pixels; done += 2)
        pair_of_pixels(b, x + done, rows ? rows + done : 0, y + done * b->y_stride);
    return done;
}

/* The halves of a word of weights times the taps in r8 and r9. */
#define ME_1X1(WORD, SUM) \
    "sxtb16 r2, " WORD ", ror #8\n sxtb16 " WORD ", " WORD "\n" \
    "smlad " SUM ", r9, r2, " SUM "\n smlad " SUM ", r8, " WORD ", " SUM "\n"
#define ME_1X4 \
    "ldr r8, [r1], #4\n ldm r3!, {r0, r10, r11, r12}\n" \
    "sxtb16 r9, r8, ror #8\n sxtb16 r8, r8\n" ME_1X1("r0", "r4") ME_1X1("r10", "r5") ME_1X1("r11", "r6") \
        ME_1X1("r12", "r7")

/* add_words of one pixel and four channels, x_step 4. */
__attribute__((naked, noinline)) static void add_1x4(int32_t *sum, const int8_t *x, int32_t steps,
                                                     const int8_t *weights)
{
    __asm__("push {r4-r11, lr}\n"
            "mov lr, r2\n"
            "push {r0}\n"
            "ldm r0, {r4-r7}\n"
            "lsls r0, lr, #31\n"
            "beq 1f\n" ME_1X4 "1: lsrs lr, lr, #1\n"
            "beq 3f\n"
            "2:\n" ME_1X4 ME_1X4 "subs lr, lr, #1\n"
            "bne 2b\n"
            "3: pop {r0}\n"
            "stm r0, {r4-r7}\n"
            "pop {r4-r11, pc}\n");
}

#else
#define pairs_of_pixels(block, x, rows, y, pixels) 0
#endif

ME_INLINE void add_part(const me_block *b, const int8_t *const *x, const int8_t *weights, int32_t all,
                        int32_t pixels, int32_t channels, int32_t *sum)
{
#ifdef __ARM_FEATURE_SIMD32
    if (b->x_step == 4 && pixels == 1 && channels == 4) {
        add_1x4(sum, x[0], b->steps, weights);
        return;
    }
#endif
    add_words(x, b->x_step, weights, all, b->steps, pixels, channels, sum);
}

/* Computes the results of one block of pixels and channels. rows: numbers added to the sums of each pixel, or 0 */
ME_INLINE void one_block(const me_block *b, const int8_t *const *x, const int32_t *rows,
                         const int8_t *weights, const me_channel *to, int8_t *y, int32_t pixels,
                         int32_t channels)
{
    const int32_t side = pixels == 1 ? 4 : 2; /* channels at once */
    const int32_t y_stride = b->y_stride, pre = b->pre, low = (int8_t)b->low, high = (int8_t)b->high;
    for (int32_t p = 0; p < pixels; p += 2)
        for (int32_t c = 0; c < channels; c += side) {
            const int32_t height = pixels - p < 2 ? pixels - p : 2;
            const int32_t width = channels - c < side ? channels - c : side;
            int32_t sum[4];
            for (int32_t i = 0; i < height; i++)
                for (int32_t j = 0; j < width; j++)
                    sum[i * width + j] = to[c + j].bias + (rows ? rows[p + i] : 0);
            add_part(b, x + p, weights + 4 * c, channels, height, width, sum);
            for (int32_t j = 0; j < width; j++) {
                const me_channel k = to[c + j];
                for (int32_t i = 0; i < height; i++) {
                    const int32_t q = me_requant(sum[i * width + j], pre, k.mult, k.offset, k.shift);
                    y[(p + i) * y_stride + c + j] = me_clip(q, low, high);
                }
            }
        }
}

/* Computes all blocks of the pixels of a group. */
ME_INLINE void group_of_pixels(const me_block *b, const int8_t *const *x, const int32_t *rows, int8_t *y,
                               int32_t pixels, int32_t channels)
{
    const int8_t *weights = b->weights;
    const me_channel *to = b->channels;
    for (int32_t block = 0; block < b->blocks; block++, to += channels, y += channels) {
        one_block(b, x, rows, weights, to, y, pixels, channels);
        weights += 4 * b->steps * channels;
    }
}

ME_INLINE void blocks(const me_block *b, int32_t pixels, int32_t channels)
{
    for (int32_t group = 0; group < b->groups; group++) {
        const int32_t first = group * pixels;
        const int8_t *const *x = b->x + first;
        const int32_t *rows = b->rows ? b->rows + first : 0;
        int8_t *y = b->y + first * b->y_stride;
        const int32_t done = channels == 4 && b->x_step == 4 ? pairs_of_pixels(b, x, rows, y, pixels) : 0;
        if (done == 0)
            group_of_pixels(b, x, rows, y, pixels, channels);
        else if (done < pixels)
            group_of_pixels(b, x + done, rows ? rows + done : 0, y + done * b->y_stride, 1, channels);
    }
}

#include "me_gemm_s8_block_rows.h"

void me_copy_windows(const me_windows *windows)
{
    for (int32_t i = 0; i < 4 * windows->groups; i++) {
        const int8_t *from = windows->from + i * windows->from_step;
        int8_t *to = windows->to + i * windows->to_step;
        for (int32_t piece = 0; piece < windows->pieces; piece++, from += windows->skip) {
            for (int32_t word = 0; word < windows->words; word++)
                me_put_w(&to, me_next_w(&from));
            for (int32_t byte = 0; byte < windows->rest; byte++)
                *to++ = *from++;
        }
    }
}

#define ME_ROW(P) { me_block_##P##x1, me_block_##P##x2, me_block_##P##x3, me_block_##P##x4 }
me_block_kernel *const me_block_kernels[4][4] = { ME_ROW(1), ME_ROW(2), ME_ROW(3), ME_ROW(4) };
