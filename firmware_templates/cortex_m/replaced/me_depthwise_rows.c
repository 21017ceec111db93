/* SPDX-License-Identifier: Apache-2.0
 * me_depthwise_rows.h for Cortex-M: sums of several results, and then their results.
 */
#include "me_depthwise_rows.h"

#include <stdbool.h>

#include "me_math.h"

#define ME_INLINE static inline __attribute__((always_inline))
#define ME_NAKED __attribute__((naked, noinline)) static

/* From sums to results. plain: limits of int8, pre 0, no table */
typedef struct {
    int32_t pre, low, high;
    const int8_t *zero;
    bool plain;
} me_limits;

ME_INLINE me_limits limits_of(int32_t pre, int32_t low, int32_t high, const int8_t *zero)
{
    return (me_limits){ pre, low, high, zero, pre == 0 && low == -128 && high == 127 && !zero };
}

ME_INLINE int32_t saturated(int32_t value)
{
#ifdef __ARM_FEATURE_SIMD32
    return __ssat(value, 8);
#else
    return me_clip8(value);
#endif
}

static int8_t scaled(int32_t acc, const me_channel *c, const me_limits *to)
{
    const int8_t q =
        me_clip(me_requant(acc + c->bias, to->pre, c->mult, c->offset, c->shift), to->low, to->high);
    return to->zero ? to->zero[q] : q;
}

/* Products and sums are modulo 2**32, so that the bias may be added after the product. */
ME_INLINE int32_t plainly(int32_t sum, int32_t mult, int32_t start, int32_t shift)
{
    return saturated((int32_t)((uint32_t)sum * (uint32_t)mult + (uint32_t)start) >> shift);
}

ME_INLINE int32_t start_of(const me_channel *c)
{
    return (int32_t)((uint32_t)c->bias * (uint32_t)c->mult + (uint32_t)c->offset);
}

/* ---- 3 x 3, stride 1: sums of n vertical pairs of results of one channel */

#ifdef __ARM_FEATURE_SIMD32

/* A column of four rows as halves: rows 0 and 2, then 1 and 3. */
#define ME_COLUMN(EVEN, ODD) \
    "ldr " EVEN ", [r0], #4\n sxtb16 " ODD ", " EVEN ", ror #8\n sxtb16 " EVEN ", " EVEN "\n"

/* Adds a column's products to the upper sum in r12 and the lower one in lr. OUTER: weights of rows 0 and 2; MIDDLE: a
 * half with that of row 1, H. X, U, L: x, t, b if rows 2 and 3 come first, otherwise nothing, b, t */
#define ME_FIRST_COLUMN(X, U, L, EVEN, ODD) \
    "smuad" X " r12, " EVEN ", r4\n smla" U "b r12, " ODD ", r7, r12\n" \
    "smuad" X " lr, " ODD ", r4\n smla" L "b lr, " EVEN ", r7, lr\n"
#define ME_OTHER_COLUMN(X, U, L, H, EVEN, ODD, OUTER, MIDDLE) \
    "smlad" X " r12, " EVEN ", " OUTER ", r12\n smla" U H " r12, " ODD ", " MIDDLE ", r12\n" \
    "smlad" X " lr, " ODD ", " OUTER ", lr\n smla" L H " lr, " EVEN ", " MIDDLE ", lr\n"
#define ME_TWO(X, U, L, E0, O0, E1, O1) \
    ME_FIRST_COLUMN(X, U, L, E0, O0) \
    ME_COLUMN(E0, O0) \
    ME_OTHER_COLUMN(X, U, L, "t", E1, O1, "r5", "r7") \
    ME_OTHER_COLUMN(X, U, L, "b", E0, O0, "r6", "r1") "strd r12, lr, [r3], #8\n"

#define ME_STRIP_SUMS(NAME, X, U, L) \
    ME_NAKED void NAME(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums) \
    { \
        __asm__("push {r4-r11, lr}\n" \
                "ldr r4, [r1]\n ldr r5, [r1, #16]\n ldr r6, [r1, #32]\n" \
                "sxtb16 r7, r4, ror #8\n sxtb16 r8, r5, ror #8\n sxtb16 r1, r6, ror #8\n" \
                "sxtb16 r4, r4\n sxtb16 r5, r5\n sxtb16 r6, r6\n" \
                "pkhbt r7, r7, r8, lsl #16\n" ME_COLUMN("r8", "r9") ME_COLUMN("r10", "r11") "1:\n" ME_TWO( \
                    X, U, L, "r8", "r9", "r10", "r11") "subs r2, #1\n" \
                                                       "beq 2f\n" ME_TWO(X, U, L, "r10", "r11", "r8", \
                                                                         "r9") "subs r2, #1\n" \
                                                                               "bne 1b\n" \
                                                                               "2: pop {r4-r11, pc}\n"); \
    }
ME_STRIP_SUMS(strip_sums, "", "b", "t")
ME_STRIP_SUMS(turned_strip_sums, "x", "t", "b")

#else

ME_INLINE void any_strip_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums,
                              uint32_t turn)
{
    for (int32_t i = 0; i < n; i++, vectors += 4, sums += 2) {
        const int8_t *column = vectors, *w = weights;
        sums[0] = sums[1] = 0;
        for (int32_t s = 0; s < 3; s++) {
            const uint32_t rows = me_ror(me_next_w(&column), turn), taps = me_step_w(&w, 16);
            sums[0] = me_sdotsp_b(sums[0], rows, taps);
            sums[1] = me_sdotsp_b(sums[1], rows, taps << 8);
        }
    }
}

static void strip_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    any_strip_sums(vectors, weights, n, sums, 0);
}

static void turned_strip_sums(const int8_t *vectors, const int8_t *weights, int32_t n, int32_t *sums)
{
    any_strip_sums(vectors, weights, n, sums, 16);
}

#endif

void me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                        int32_t channel_bytes, int32_t n)
{
    for (int32_t i = 0; i < n; i++, to += 4) {
        const uint32_t x = me_step_w(&a, a_step), y = me_step_w(&b, b_step), bytes = 0x00FF00FFu;
        const uint32_t even = (x & bytes) | (y & bytes) << 8, odd = (x >> 8 & bytes) | (y & ~bytes);
        int8_t *at[4] = { to, to + channel_bytes, to + 2 * channel_bytes, to + 3 * channel_bytes };
        me_put_h(&at[0], (int32_t)even);
        me_put_h(&at[1], (int32_t)odd);
        me_put_h(&at[2], (int32_t)(even >> 16));
        me_put_h(&at[3], (int32_t)(odd >> 16));
    }
}

/* The lower result is stored first: without a lower row both have the same address. */
static void store_pairs(const int32_t *sums, int32_t n, const me_channel *c, const me_limits *to,
                        int8_t *upper, int8_t *lower, int32_t y_step)
{
    if (to->plain) {
        const int32_t mult = c->mult, start = start_of(c), shift = c->shift;
        for (int32_t i = 0; i < n; i++, sums += 2, upper += y_step, lower += y_step) {
            *lower = (int8_t)plainly(sums[1], mult, start, shift);
            *upper = (int8_t)plainly(sums[0], mult, start, shift);
        }
        return;
    }
    for (int32_t i = 0; i < n; i++, sums += 2, upper += y_step, lower += y_step) {
        *lower = scaled(sums[1], c, to);
        *upper = scaled(sums[0], c, to);
    }
}

void me_depthwise_strip(const me_depthwise_two *two)
{
    enum { MOST = 32 };
    const me_depthwise_two t = *two; /* stores of results do not change it */
    const me_limits to = limits_of(t.pre, t.low, t.high, t.zero);
    int32_t sums[2 * MOST];
    for (int32_t j = 0; j < 4; j++) {
        const int8_t *vectors = t.vectors + j * t.channel_bytes;
        int8_t *upper = t.upper + j, *lower = t.lower + j;
        for (int32_t left = 3 * t.thirds + t.rest; left > 0; left -= MOST) {
            const int32_t n = me_min(left, MOST);
            (t.turn ? turned_strip_sums : strip_sums)(vectors, t.weights + 4 * j, n, sums);
            store_pairs(sums, n, t.channels + j, &to, upper, lower, t.y_step);
            vectors += 4 * n;
            upper += n * t.y_step;
            lower += n * t.y_step;
        }
    }
}

void me_depthwise_strip_limits(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_pre(const me_depthwise_two *two) { me_depthwise_strip(two); }
void me_depthwise_strip_table(const me_depthwise_two *two) { me_depthwise_strip(two); }

/* ---- any window: sums of four channels of one result */

#ifdef __ARM_FEATURE_SIMD32

/* Four channels of the pixel of a tap: channels 0 and 2 as halves, then 1 and 3. */
#define ME_PIXEL(TAP, EVEN, ODD) \
    "ldr " EVEN ", [r1, #" TAP "]\n ldr " EVEN ", [r12, " EVEN "]\n" \
    "sxtb16 " ODD ", " EVEN ", ror #8\n sxtb16 " EVEN ", " EVEN "\n"
/* Two weights of a channel, times two halves. */
#define ME_ADD(SMLA, WORD, ROR, X, SUM) \
    "sxtb16 " WORD ", " WORD ROR "\n " SMLA " " SUM ", " X ", " WORD ", " SUM "\n"
#define ME_TAPS_2(FIRST, SECOND, ROR) \
    ME_PIXEL(FIRST, "r8", "r9") \
    ME_PIXEL(SECOND, "r10", "r11") \
    "pkhbt lr, r8, r10, lsl #16\n pkhtb r10, r10, r8, asr #16\n" \
    "pkhbt r8, r9, r11, lsl #16\n pkhtb r11, r11, r9, asr #16\n" \
    "ldrd r0, r9, [r2]\n" ME_ADD("smlad", "r0", ROR, "lr", "r4") ME_ADD( \
        "smlad", "r9", ROR, "r8", "r5") "ldrd r0, r9, [r2, #8]\n" ME_ADD("smlad", "r0", ROR, "r10", "r6") \
        ME_ADD("smlad", "r9", ROR, "r11", "r7")
#define ME_TAPS_1(TAP, ROR) \
    ME_PIXEL(TAP, "r8", "r9") \
    "ldrd r0, r10, [r2]\n" ME_ADD("smlabb", "r0", ROR, "r8", "r4") ME_ADD( \
        "smlabb", "r10", ROR, "r9", "r5") "ldrd r0, r10, [r2, #8]\n" ME_ADD("smlatb", "r0", ROR, "r8", "r6") \
        ME_ADD("smlatb", "r10", ROR, "r9", "r7")

/* corner: base of the addresses in `taps`, of four taps in each of `blocks` blocks */
#define ME_FOUR_SUMS(NAME, ODD_TAPS) \
    ME_NAKED void NAME(int32_t *sums, const intptr_t *taps, const int8_t *weights, int32_t blocks, \
                       intptr_t corner) \
    { \
        __asm__("push {r0, r4-r11, lr}\n" \
                "ldr r12, [sp, #40]\n" \
                "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n" \
                "1:\n" ME_TAPS_2("0", "8", "") ODD_TAPS "adds r1, #16\n adds r2, #16\n subs r3, #1\n" \
                                                        "bne 1b\n" \
                                                        "pop {r0}\n" \
                                                        "stm r0, {r4-r7}\n" \
                                                        "pop {r4-r11, pc}\n"); \
    }
ME_FOUR_SUMS(four_sums, ME_TAPS_2("4", "12", ", ror #8"))
ME_FOUR_SUMS(four_sums_3x3, ME_TAPS_1("4", ", ror #8"))

#else

static void four_sums(int32_t *sums, const intptr_t *taps, const int8_t *weights, int32_t blocks,
                      intptr_t corner)
{
    for (int32_t j = 0; j < 4; j++) {
        sums[j] = 0;
        for (int32_t t = 0; t < 4 * blocks; t++)
            sums[j] += ((const int8_t *)(corner + taps[t]))[j] * weights[16 * (t / 4) + 4 * j + t % 4];
    }
}

#define four_sums_3x3 four_sums

#endif

ME_INLINE void store_four(const int32_t *sums, const me_channel *c, const me_limits *to, int8_t *y)
{
    if (to->plain)
        for (int32_t j = 0; j < 4; j++, c++)
            y[j] = (int8_t)saturated(((sums[j] + c->bias) * c->mult + c->offset) >> c->shift);
    else
        for (int32_t j = 0; j < 4; j++, c++)
            y[j] = scaled(sums[j], c, to);
}

void me_depthwise_pixel(const me_depthwise_any *pixel)
{
    const me_depthwise_any p = *pixel;
    const me_limits to = limits_of(p.pre, p.low, p.high, p.zero);
    const int8_t *weights = p.weights;
    for (int32_t g = 0; g < p.groups; g++, weights += 16 * p.blocks) {
        const int32_t from = me_min(p.first + 4 * g, p.last);
        int32_t sums[4];
        four_sums(sums, p.taps, weights, p.blocks, p.corner + from);
        store_four(sums, p.channels + from, &to, p.y + from);
    }
}

/* ---- 3 x 3, horizontal stride 2 */

/* Whether a column of window i is padding; the first and the last one may be. */
ME_INLINE bool is_padding(const me_depthwise_halving *row, int32_t i, int32_t s)
{
    return (i == 0 && s == 0 && !row->first) || (i == row->n && s == 2);
}

ME_INLINE intptr_t tap_at(const me_depthwise_halving *row, int32_t i, int32_t r, int32_t s)
{
    const int32_t at = 2 * i + s - (row->first ? 0 : 1);
    return is_padding(row, i, s) ? (intptr_t)&row->padding : (intptr_t)(row->rows[r] + at * row->steps[r]);
}

/* Fewer than four channels of a row. */
static void few_channels(const me_depthwise_halving *row, const me_limits *to)
{
    for (int32_t i = 0; i < row->n + row->tail; i++)
        for (int32_t j = 0; j < row->count; j++) {
            int32_t acc = 0;
            for (int32_t s = 0; s < 3; s++)
                for (int32_t r = 0; r < 3; r++)
                    acc += ((const int8_t *)tap_at(row, i, r, s))[j] * row->weights[16 * s + 4 * j + r];
            row->y[i * row->y_step + j] = scaled(acc, row->channels + j, to);
        }
}

void me_depthwise_row_2(const me_depthwise_halving *row)
{
    const me_limits to = limits_of(row->pre, row->low, row->high, row->zero);
    if (row->count < 4) {
        few_channels(row, &to);
        return;
    }
    const bool alike = row->steps[0] == row->steps[1] && row->steps[1] == row->steps[2];
    intptr_t taps[12], corner = 0;
    int8_t *y = row->y;
    for (int32_t i = 0; i < row->n + row->tail; i++, y += row->y_step, corner += 2 * row->steps[1]) {
        if (i < 2 || i == row->n || !alike) {
            corner = 0;
            for (int32_t s = 0; s < 3; s++)
                for (int32_t r = 0; r < 4; r++)
                    taps[4 * s + r] = tap_at(row, i, r < 3 ? r : 0, s);
        }
        int32_t sums[4];
        four_sums_3x3(sums, taps, row->weights, 3, corner);
        store_four(sums, row->channels, &to, y);
    }
}

void me_depthwise_rows_2(const me_depthwise_halving *rows)
{
    me_depthwise_halving row = *rows;
    for (int32_t i = 0; i < rows->row_count; i++) {
        me_depthwise_row_2(&row);
        row.y += (row.n + row.tail) * row.y_step;
        for (int32_t r = 0; r < 3; r++)
            row.rows[r] += row.down;
    }
}
