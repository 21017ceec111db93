/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of me_linear_s16_rows.h, against those in portable C, whose names begin with c_. */
#include "library/me_linear_s16_rows.h"
#include "me_intrinsics.h"
typedef void copy(const void *x, int32_t wide, int32_t words, int8_t *row, int32_t half, int32_t at);
typedef void add(const int8_t *row, int32_t half, const int8_t *weights, int32_t words,
                 const me_channel *channels, int32_t *sum, int32_t blocks, int32_t rows);
typedef int32_t add_one(const int8_t *row, int32_t half, const int8_t *weights, int32_t words, int32_t sum);
typedef void store(const int32_t *sum, const me_channel *to, const me_scale *scale, int8_t *y, int32_t n,
                   int32_t wide);
copy c_me_split_row;
add c_me_split_sums;
add_one c_me_split_sum;
store c_me_split_store;

static const struct {
    copy *copy;
    add *add;
    add_one *add_one;
    store *store;
} kernels[] = { { me_split_row, me_split_sums, me_split_sum, me_split_store },
                { c_me_split_row, c_me_split_sums, c_me_split_sum, c_me_split_store } };

static uint32_t state = 1;
static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}
static int32_t below(int32_t n) { return (int32_t)(draw() % (uint32_t)n); }

static int16_t x[2048];
static int8_t weights[24576];
static _Alignas(4) int8_t rows[4096], y[2][256];
static int32_t sums[2][2 * ME_SPLIT_SUMS + 1];
static me_channel channels[ME_SPLIT_SUMS];

static int differ(void)
{
    const int32_t words = 1 + below(below(4) ? 9 : 160), blocks = 1 + below(ME_SPLIT_SUMS / 4);
    const int32_t count = 1 + below(2), half = 4 * (words | 1), wide = below(2), first = below(words);
    const int32_t of = below(4 * blocks), n = 1 + below(4 * blocks), skip = below(9);
    if (16 * words * blocks > (int32_t)sizeof weights)
        return 0;
    for (int32_t i = 0; i < 4 * blocks; i++)
        channels[i] = (me_channel){ below(20000) - 10000, below(32768), 1 << 20, 20 + below(4) };
    const me_scale scale = { below(3), -128 + below(2) * 100, 127 - below(2) * 60, 0 };
    for (int32_t k = 0; k < 2; k++) {
        for (int32_t i = 0; i < 2 * ME_SPLIT_SUMS + 1; i++)
            sums[k][i] = -7;
        for (int32_t i = 0; i < 256; i++)
            y[k][i] = 77;
        for (int32_t row = 0; row < count; row++) {
            const int8_t *from = (const int8_t *)(x + skip + 4 * row * words);
            const int32_t four = wide ? 8 : 4;
            if (first > 0)
                kernels[k].copy(from, wide, first, rows + 2 * half * row, half, 0);
            kernels[k].copy(from + four * first, wide, words - first, rows + 2 * half * row, half, first);
        }
        kernels[k].add(rows, half, weights, words, channels, sums[k], blocks, count);
        const int32_t at = of / 4 * 16 * words + of % 4 * 4;
        sums[k][2 * ME_SPLIT_SUMS] = kernels[k].add_one(rows, half, weights + at, words, 5);
        kernels[k].store(sums[k], channels, &scale, y[k], n, wide);
    }
    for (int32_t i = 0; i < 2 * ME_SPLIT_SUMS + 1; i++)
        if (sums[0][i] != sums[1][i])
            return 1;
    for (int32_t i = 0; i < 256; i++)
        if (y[0][i] != y[1][i])
            return 2;
    return 0;
}

int main(void)
{
    for (uint32_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (int16_t)draw();
    for (uint32_t i = 0; i < sizeof weights; i++)
        weights[i] = (int8_t)draw();
    for (int32_t turn = 0; turn < 400; turn++) {
        const int found = differ();
        if (found)
            return found;
    }
    return 0;
}
