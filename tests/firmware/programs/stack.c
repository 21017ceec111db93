/* A core that needs more stack than it has; -DDEEP=0 keeps to what there is. */
#include "firmware/cluster.h"

static int32_t sink;

static __attribute__((noinline)) int32_t dig(int32_t depth)
{
    volatile uint8_t room[64];
    for (uint32_t i = 0; i < sizeof room; i++)
        room[i] = (uint8_t)depth;
    return depth == 0 ? room[0] : dig(depth - 1) + room[1];
}

static void work(int32_t core, void *unused)
{
    (void)unused;
    if (core == 3)
        sink = dig(DEEP);
}

int main(void)
{
    me_cluster_run(work, 0);
    return 0;
}
