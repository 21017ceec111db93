/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include "clock.h"
#include "cluster.h"
#include "exit_codes.h"
#include "l3.h"
#include "registers.h"

/* The fabric controller is hart 9 on GAP9, on GreenWaves' GVSoC and on our simulator; on the public GVSoC
 * target pulp-open it is hart 0x3e0. */
#define GAP9_FC 9u

static const me_platform gap9 = {
    .exit = 0x1A1040C0u,
    .itc = 0x1A109000u,
    .dma = 0x10204800u,
    .dma_events = true,
    .gap9 = true,
};
static const me_platform pulp_open = {
    .exit = 0x1A1040A0u,
    .itc = 0x1A109800u,
    .dma = 0x10201800u,
    .dma_events = false,
    .gap9 = false,
};

me_platform me_here ME_L1;

static void pause(int32_t rounds)
{
    while (rounds-- > 0)
        __asm__ volatile("nop");
}

/* Sets the clocks. -> false if they do not lock. The oscillator needs 0.3 ms, which is 6150
 * cycles of the initial 20.5 MHz; the cluster is out of reset by then too. */
static bool start_clocks(void)
{
    ME_REG(ME_OSCILLATOR) = 3;
    pause(2000);
    ME_REG(ME_FLL_RANGE) = 0x1FFu << 16;
    ME_REG(ME_FLL_TARGET) = 256u << 16 | ME_CLOCK_MULTIPLIER;
    ME_REG(ME_FLL_LOOP) = 1u | 2u | 4u << 4 | 10u << 8 | 24u << 16 | 6u << 26;
    ME_REG(ME_FLL_DIVIDERS) = ME_FLL_CORES * ME_CLOCK_DIVIDER + ME_PERIPH_DIVIDER;
    ME_REG(ME_FLL_ENABLES) = 0x1111u;
    for (int32_t tries = 0; tries < 100000; tries++)
        if (ME_REG(ME_FLL_STATUS) & 1u)
            return true;
    return false;
}

_Noreturn void me_exit(int32_t code)
{
    uint32_t hart;
    __asm__ volatile("csrr %0, mhartid" : "=r"(hart));
    const uint32_t address = hart == GAP9_FC ? gap9.exit : pulp_open.exit;
    ME_REG(address) = 0x80000000u | (uint32_t)code;
    for (;;)
        __asm__ volatile("wfi");
}

void me_fc_sleep(bool may_sleep)
{
    if (may_sleep)
        __asm__ volatile("wfi" ::: "memory");
    ME_REG(me_here.itc + ME_ITC_STATUS_CLEAR) = ME_WAKE;
}

/* Entry of the fabric controller, called by crt0.S. */
_Noreturn void me_fabric_controller(uint32_t hart);
_Noreturn void me_fabric_controller(uint32_t hart)
{
    ME_REG(ME_FC_CACHE_ENABLE) = 0xFFFFFFFFu;
    if (hart == GAP9_FC) {
        if (!start_clocks())
            me_exit(ME_EXIT_CLOCK);
        ME_REG(ME_PMU_ISOLATE) = 0;
        ME_REG(ME_PMU_CLUSTER) = 0x10000800u;
    }
    me_here = hart == GAP9_FC ? gap9 : pulp_open;
    ME_REG(me_here.itc + ME_ITC_MASK_SET) = ME_WAKE;
    me_l3_open();
    me_cluster_start();
    const int32_t code = main();
    me_exit(me_stacks_intact() ? code : ME_EXIT_STACK);
}
