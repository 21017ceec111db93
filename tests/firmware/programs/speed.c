/* Keeps BUSY cores at what kernels do all the time: loads from L1 and products of four bytes. */
#include "firmware/cluster.h"
#include "firmware/platform.h"
#include "me_intrinsics.h"

#define ROWS 4
#define WORDS 192 /* a row of K = 768 */

static int8_t left[ROWS * WORDS * 4 * 8] ME_L1, right[2 * WORDS * 4] ME_L1;
static volatile int32_t sums[8] ME_L1;

static __attribute__((noinline)) int32_t block(const int8_t *a, const int8_t *b)
{
    int32_t sum[8] = { 0 };
    const int8_t *row[ROWS] = { a, a + WORDS * 4, a + WORDS * 8, a + WORDS * 12 };
    const int8_t *column[2] = { b, b + WORDS * 4 };
    for (int32_t k = 0; k < WORDS; k++) {
        const uint32_t c0 = me_next_w(&column[0]), c1 = me_next_w(&column[1]);
#pragma GCC unroll 4
        for (int32_t r = 0; r < ROWS; r++) {
            const uint32_t x = me_next_w(&row[r]);
            sum[2 * r] = me_sdotsp_b(sum[2 * r], x, c0);
            sum[2 * r + 1] = me_sdotsp_b(sum[2 * r + 1], x, c1);
        }
    }
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core >= BUSY)
        return;
    int8_t *mine = left + core * ROWS * WORDS * 4;
    for (int32_t i = 0; i < ROWS * WORDS * 4; i++)
        mine[i] = (int8_t)(i * 7 + core);
    for (int32_t i = 0; core == 0 && i < 2 * WORDS * 4; i++)
        right[i] = (int8_t)(i * 5);
    int32_t sum = 0;
    for (int32_t i = 0; i < TIMES; i++) {
        sum += block(mine, right);
        __asm__ volatile("" ::: "memory"); /* else once would do */
    }
    sums[core] = sum;
}

int main(void)
{
    me_cluster_run(work, 0);
    return 0;
}
