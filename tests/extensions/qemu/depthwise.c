/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of me_depthwise_rows.h, against those in portable C, whose names begin with c_. */
#include "library/me_depthwise_rows.h"
void c_me_depthwise_pairs(const int8_t *a, const int8_t *b, int32_t a_step, int32_t b_step, int8_t *to,
                          int32_t channel_bytes, int32_t n);
void c_me_depthwise_strip(const me_depthwise_two *two);
void c_me_depthwise_rows_2(const me_depthwise_halving *rows);
void c_me_depthwise_row_2(const me_depthwise_halving *row);
void c_me_depthwise_pixel(const me_depthwise_any *pixel);

enum { BYTES = 8192 };
static uint32_t state = 1;
static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}
static int32_t below(int32_t n) { return (int32_t)(draw() % (uint32_t)n); }

static int8_t x[BYTES], weights[1024], columns[256] /* three weights, then 0 */, y[2][BYTES], entries[256];
static me_channel channels[24];
static int32_t pre, low, high;
static const int8_t *zero;

static int differs(void)
{
    for (int32_t i = 0; i < BYTES; i++)
        if (y[0][i] != y[1][i])
            return 1;
    return 0;
}

static void draw_scale(void)
{
    const int32_t plain = below(2);
    pre = plain ? 0 : below(3);
    low = plain ? -128 : -128 + below(2) * 100;
    high = plain ? 127 : 127 - below(2) * 60;
    zero = plain || below(2) ? 0 : entries + 128;
    for (int32_t i = 0; i < 24; i++)
        channels[i] = (me_channel){ below(20000) - 10000, below(4096), below(1 << 20), 14 + below(6) };
    for (int32_t i = 0; i < BYTES; i++)
        y[0][i] = y[1][i] = 77;
}

static int pairs_differ(void)
{
    const int32_t n = 1 + below(30), a = below(9), b = below(9) + 2000, bytes = 4 * n + below(3) * 4;
    const int32_t a_step = below(3) * below(40), b_step = below(3) * below(40);
    me_depthwise_pairs(x + a, x + b, a_step, b_step, y[0], bytes, n);
    c_me_depthwise_pairs(x + a, x + b, a_step, b_step, y[1], bytes, n);
    return differs();
}

static int strips_differ(void)
{
    const int32_t n = 1 + below(70), y_step = 4 + below(4), row = below(4) ? n * y_step : 0;
    me_depthwise_two two = { .vectors = x + 4 * below(9),
                             .channel_bytes = 4 * (n + 2),
                             .weights = columns + 4 * below(9),
                             .channels = channels,
                             .upper = y[0],
                             .lower = y[0] + row,
                             .y_step = y_step,
                             .thirds = n / 3,
                             .rest = n % 3,
                             .turn = 16 * below(2),
                             .pre = pre,
                             .low = low,
                             .high = high,
                             .zero = zero };
    (zero ? me_depthwise_strip_table : pre ? me_depthwise_strip_pre : me_depthwise_strip_limits)(&two);
    two.upper = y[1], two.lower = y[1] + row;
    c_me_depthwise_strip(&two);
    return differs();
}

static int rows_differ(void)
{
    const int32_t y_step = 4 + below(4), step = 4 + below(20), several = below(2);
    me_depthwise_halving row = { .y = y[0],
                                 .y_step = y_step,
                                 .n = below(4) ? below(12) : below(110), /* several parts of 32 results */
                                 .tail = below(2),
                                 .first = below(2),
                                 .padding = draw(),
                                 .weights = columns + 4 * below(9),
                                 .channels = channels,
                                 .count = several ? 4 : 1 + below(4),
                                 .pre = pre,
                                 .low = low,
                                 .high = high,
                                 .zero = zero,
                                 .row_count = 1 + below(3),
                                 .down = 32 * step };
    for (int32_t r = 0; r < 3; r++) {
        row.rows[r] = x + r * 16 * step + 16;
        row.steps[r] = several || below(3) ? step : 0;
    }
    row.padding = (row.padding & 255) * 0x01010101u;
    (several ? me_depthwise_rows_2 : me_depthwise_row_2)(&row);
    row.y = y[1];
    (several ? c_me_depthwise_rows_2 : c_me_depthwise_row_2)(&row);
    return differs();
}

static int pixels_differ(void)
{
    intptr_t taps[32];
    const int32_t blocks = 1 + below(8), groups = 1 + below(4), first = 4 * below(2);
    for (int32_t i = 0; i < 4 * blocks; i++)
        taps[i] = below(2000) - 1000;
    me_depthwise_any any = { .taps = taps,
                             .blocks = blocks,
                             .weights = weights,
                             .channels = channels,
                             .y = y[0],
                             .first = first,
                             .groups = groups,
                             .last = first + 4 * (groups - 1) - below(4) * (first + groups > 1),
                             .pre = pre,
                             .low = low,
                             .high = high,
                             .zero = zero,
                             .corner = (intptr_t)(x + 1500 + below(9)) };
    me_depthwise_pixel(&any);
    any.y = y[1];
    c_me_depthwise_pixel(&any);
    return differs();
}

int main(void)
{
    static int (*const differ[])(void) = { pairs_differ, strips_differ, rows_differ, pixels_differ };
    for (int32_t i = 0; i < BYTES; i++)
        x[i] = (int8_t)draw();
    for (int32_t i = 0; i < 1024; i++)
        weights[i] = (int8_t)draw();
    for (int32_t i = 0; i < 256; i++)
        columns[i] = (int8_t)(i % 4 < 3 ? draw() : 0);
    for (int32_t i = 0; i < 256; i++)
        entries[i] = (int8_t)draw();
    for (int32_t i = 0; i < 800; i++) {
        draw_scale();
        if (differ[i % 4]())
            return 1 + i % 4;
    }
    return 0;
}
