/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of me_gemm_s8_block.h, against those in portable C, whose names begin with c_. */
#include "library/me_gemm_s8_block.h"
extern me_block_kernel *const c_me_block_kernels[4][4];
void c_me_copy_windows(const me_windows *windows);

static uint32_t state = 1;
static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}
static int32_t below(int32_t n) { return (int32_t)(draw() % (uint32_t)n); }

static int8_t x[4096], weights[24576], y[2][4096], copied[2][4096];
static me_channel channels[64];
static int32_t sums[64];

static int kernels_differ(int32_t pixels, int32_t channel_count)
{
    const int8_t *at[16];
    const int32_t steps = 1 + below(below(4) ? 20 : 160), groups = 1 + below(3);
    int32_t blocks = 1 + below(19);
    while (16 * steps * blocks > (int32_t)sizeof weights || blocks * channel_count > 64)
        blocks--;
    const int32_t x_step = below(3) ? 4 : 4 * below(3) + below(2);
    for (int32_t i = 0; i < groups * pixels; i++) {
        at[i] = x + below(1500);
        sums[i] = below(2000) - 1000;
    }
    for (int32_t i = 0; i < blocks * channel_count; i++)
        channels[i] = (me_channel){ below(20000) - 10000, below(32768), 1 << 20, 20 + below(4) };
    const int32_t low = -128 + below(2) * 100, high = 127 - below(2) * 60;
    me_block block = { .x = at,
                       .rows = below(2) ? sums : 0,
                       .weights = weights,
                       .channels = channels,
                       .y_stride = blocks * channel_count + below(3),
                       .steps = steps,
                       .groups = groups,
                       .blocks = blocks,
                       .pre = below(3),
                       .low = (uint32_t)(low & 255) * 0x01010101u,
                       .high = (uint32_t)(high & 255) * 0x01010101u,
                       .limits = 1,
                       .x_step = x_step };
    for (int32_t i = 0; i < 4096; i++)
        y[0][i] = y[1][i] = 77;
    block.y = y[0];
    me_block_kernels[pixels - 1][channel_count - 1](&block);
    block.y = y[1];
    c_me_block_kernels[pixels - 1][channel_count - 1](&block);
    for (int32_t i = 0; i < 4096; i++)
        if (y[0][i] != y[1][i])
            return 1;
    return 0;
}

static int copies_differ(void)
{
    const int32_t words = below(5), rest = below(4), pieces = 1 + below(3);
    me_windows w = { .from = x + below(9),
                     .from_step = below(20),
                     .to_step = 4 * words * pieces + rest * pieces + below(9),
                     .pieces = pieces,
                     .words = words,
                     .rest = rest,
                     .skip = below(7),
                     .groups = 1 + below(3) };
    for (int32_t i = 0; i < 4096; i++)
        copied[0][i] = copied[1][i] = 77;
    w.to = copied[0];
    me_copy_windows(&w);
    w.to = copied[1];
    c_me_copy_windows(&w);
    for (int32_t i = 0; i < 4096; i++)
        if (copied[0][i] != copied[1][i])
            return 1;
    return 0;
}

int main(void)
{
    for (int32_t i = 0; i < 4096; i++)
        x[i] = (int8_t)draw();
    for (int32_t i = 0; i < (int32_t)sizeof weights; i++)
        weights[i] = (int8_t)draw();
    for (int32_t i = 0; i < 640; i++) {
        const int32_t kernel = i % 16;
        if (kernels_differ(1 + kernel % 4, 1 + kernel / 4))
            return 1 + kernel;
        if (copies_differ())
            return 20;
    }
    return 0;
}
