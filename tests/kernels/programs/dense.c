/* SPDX-License-Identifier: Apache-2.0
 * Runs kernels on cases out of cases.bin: an image of L1 with operands in it, and the two structs
 * that a kernel takes. What L1 holds afterwards, and the cycles, go to results.bin.
 */
#include "firmware/cluster.h"
#include "firmware/host.h"
#include "firmware/marks.h"
#include "firmware/platform.h"
#include "me_gemm.h"
#include "me_share.h"

#define ARENA 114688
#define WORDS 24

volatile uint32_t me_marks[1];

typedef struct {
    int32_t kernel, runs, bytes; /* of the image */
    int32_t op[WORDS], tile[WORDS];
} header;

int8_t me_arena[ARENA] ME_L1 __attribute__((aligned(64)));
static int8_t image[ARENA] ME_NOINIT __attribute__((aligned(64)));
static header one ME_NOINIT;
static header now ME_L1; /* structs lie on stacks or in L1 in a program */
static uint32_t cycles[2];

static void run(void)
{
    if (now.kernel == 0)
        me_conv_s8((const void *)now.op, (const void *)now.tile);
    else if (now.kernel == 1)
        me_linear_s8((const void *)now.op, (const void *)now.tile);
    else
        me_matmul_s8((const void *)now.op, (const void *)now.tile);
}

static int32_t calls(int32_t core)
{
    if (now.kernel == 1)
        return core < ME_WORKERS || ((const me_linear_s8_params *)(const void *)now.op)->nine_cores;
    return core < ME_WORKERS
        || (now.kernel == 2 && ((const me_matmul_s8_params *)(const void *)now.op)->nine_cores);
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE)
        now = one;
    me_barrier_all();
    if (core < ME_WORKERS)
        me_copy(me_arena, image, now.bytes);
    for (int32_t i = 0; i < now.runs; i++) {
        me_barrier_all();
        const uint32_t before = me_cycles();
        if (calls(core))
            run();
        me_barrier_all();
        if (core == ME_CONTROL_CORE)
            cycles[i] = me_cycles() - before;
    }
    if (core < ME_WORKERS)
        me_copy(image, me_arena, now.bytes);
}

int main(void)
{
    const int32_t from = me_open("cases.bin", ME_READ), to = me_open("results.bin", ME_WRITE);
    while (me_read(from, &one, sizeof one) == sizeof one) {
        if (me_read(from, image, (uint32_t)one.bytes) != (uint32_t)one.bytes)
            return 1;
        me_cluster_run(work, 0);
        me_write(to, cycles, sizeof cycles);
        me_write(to, image, (uint32_t)one.bytes);
    }
    me_close(to);
    return 0;
}
