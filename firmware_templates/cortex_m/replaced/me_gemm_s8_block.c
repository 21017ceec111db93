/* SPDX-License-Identifier: Apache-2.0
 * me_gemm_s8_block.h for Cortex-M: sums of two pixels and two channels at once, which fit the registers.
 */
#include "me_gemm_s8_block.h"

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

/* Taps of two pixels as halves: of each word bytes 0 and 2, then 1 and 3, of the first pixel and of the second. */
enum { PAIR_STEPS = 64, PAIR_BLOCKS = 8 };
typedef struct {
    uint32_t taps[4 * PAIR_STEPS];
    int32_t sum[PAIR_BLOCKS][2][4]; /* of each two channels: both of the first pixel, both of the second */
} me_pair;

static void expand_pair(me_pair *pair, const int8_t *x0, const int8_t *x1, int32_t steps)
{
    uint32_t *to = pair->taps;
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

/* Adds the products of `steps` words of the taps of a pair with two of four channels. The compiler would keep sums in
 * memory. */
__attribute__((naked, noinline)) static void add_2x2(int32_t *sum, const uint32_t *taps,
                                                     const int8_t *weights, int32_t steps)
{
    __asm__("push {r4-r11, lr}\n"
            "mov lr, r3\n"
            "push {r0}\n"
            "ldm r0, {r4-r7}\n"
            "lsls r0, lr, #31\n"
            "beq 1f\n" ME_2X2 "1: lsrs lr, lr, #1\n"
            "beq 3f\n"
            "2:\n" ME_2X2 ME_2X2 "subs lr, lr, #1\n"
            "bne 2b\n"
            "3: pop {r0}\n"
            "stm r0, {r4-r7}\n"
            "pop {r4-r11, pc}\n");
}

static void store_pair(const me_block *b, const int32_t sum[2][4], const me_channel *to, int8_t *y)
{
    const int32_t y_stride = b->y_stride, pre = b->pre, low = (int8_t)b->low, high = (int8_t)b->high;
    for (int32_t c = 0; c < 4; c++, to++, y++)
        for (int32_t p = 0; p < 2; p++) {
            const int32_t q = me_requant(sum[c >> 1][2 * p + (c & 1)], pre, to->mult, to->offset, to->shift);
            y[p * y_stride] = me_clip(q, low, high);
        }
}

/* Computes all blocks of four channels of two pixels, x_step 4. rows: numbers added to their sums, or 0 */
static void pair_of_pixels(const me_block *b, const int8_t *const *x, const int32_t *rows, int8_t *y)
{
    me_pair pair;
    for (int32_t first = 0; first < b->blocks; first += PAIR_BLOCKS) {
        const int32_t count = me_min(b->blocks - first, PAIR_BLOCKS);
        const me_channel *to = b->channels + 4 * first;
        for (int32_t c = 0; c < 4 * count; c++)
            for (int32_t p = 0; p < 2; p++)
                pair.sum[c >> 2][c >> 1 & 1][2 * p + (c & 1)] = to[c].bias + (rows ? rows[p] : 0);
        for (int32_t step = 0; step < b->steps; step += PAIR_STEPS) {
            const int32_t steps = me_min(b->steps - step, PAIR_STEPS);
            const int8_t *weights = b->weights + 16 * (first * b->steps + step);
            if (first == 0 || b->steps > PAIR_STEPS)
                expand_pair(&pair, x[0] + 4 * step, x[1] + 4 * step, steps);
            for (int32_t block = 0; block < count; block++, weights += 16 * b->steps) {
                add_2x2(pair.sum[block][0], pair.taps, weights, steps);
                add_2x2(pair.sum[block][1], pair.taps, weights + 8, steps);
            }
        }
        for (int32_t block = 0; block < count; block++)
            store_pair(b, pair.sum[block], to + 4 * block, y + 4 * (first + block));
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
