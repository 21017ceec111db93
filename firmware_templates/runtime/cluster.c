/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "l3.h"
#include "platform.h"

#define CANARY 0x57A9C3E1u
#define CANARY_WORDS 4u

extern void _start(void);
extern uint32_t me_stacks[], me_stack_bytes[], me_fc_stack[]; /* linker script */

/* asked and done count up; the cluster works while they differ. */
static volatile struct {
    me_work work;
    void *argument;
    uint32_t asked, done, ready;
} job ME_L1;

/* The lowest words of the stack of a core, 9 for the fabric controller. */
static volatile uint32_t *canary(uint32_t core)
{
    const uint32_t words = (uint32_t)(uintptr_t)me_stack_bytes / 4;
    return core < ME_CORES ? me_stacks + core * words : me_fc_stack;
}

static void plant_canaries(void)
{
    for (uint32_t core = 0; core <= ME_CORES; core++)
        for (uint32_t word = 0; word < CANARY_WORDS; word++)
            canary(core)[word] = CANARY;
}

bool me_stacks_intact(void)
{
    for (uint32_t core = 0; core <= ME_CORES; core++)
        for (uint32_t word = 0; word < CANARY_WORDS; word++)
            if (canary(core)[word] != CANARY)
                return false;
    return true;
}

void me_cluster_start(void)
{
    plant_canaries();
    job.asked = job.done = job.ready = 0;
    ME_REG(ME_CLUSTER_CACHE_ENABLE) = 0xFFFFFFFFu;
    for (int32_t core = 0; core < ME_CORES; core++)
        ME_REG(ME_BOOT_ADDRESS(core)) = (uint32_t)(uintptr_t)_start;
    ME_REG(ME_FETCH_ENABLE) = 0;
    ME_REG(ME_FETCH_ENABLE) = (1u << ME_CORES) - 1;
}

void me_cluster_run(me_work work, void *argument)
{
    job.work = work;
    job.argument = argument;
    job.asked = job.asked + 1;
    while (job.done != job.asked) {
        me_fc_sleep(!me_l3_needs_polling());
        me_l3_serve();
    }
}

static void set_barrier(uint32_t barrier, uint32_t cores)
{
    ME_REG(ME_BARRIER_TRIGGER_MASK(barrier)) = cores;
    ME_REG(ME_BARRIER_TARGET_MASK(barrier)) = cores;
}

static void prepare_core(int32_t core)
{
    ME_REG(ME_EVENT_MASK_CLEAR) = 0xFFFFFFFFu;
    ME_REG(ME_EVENT_BUFFER_CLEAR) = 0xFFFFFFFFu;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
    if (core == ME_CONTROL_CORE) {
        set_barrier(0, (1u << ME_CORES) - 1);
        set_barrier(1, (1u << ME_WORKERS) - 1);
        ME_REG(ME_CLUSTER_TIMER_CONFIG) = ME_TIMER_RESET_AND_RUN;
        job.ready = 1;
    }
    while (!job.ready)
        ;
}

/* Where crt0.S brings the cores of the cluster. */
_Noreturn void me_cluster_core(int32_t core);
_Noreturn void me_cluster_core(int32_t core)
{
    prepare_core(core);
    for (;;) {
        if (core == ME_CONTROL_CORE)
            while (job.asked == job.done)
                ;
        me_barrier_all();
        job.work(core, job.argument);
        me_barrier_all();
        if (core == ME_CONTROL_CORE) {
            job.done = job.asked;
            ME_REG(me_here.itc + ME_ITC_STATUS_SET) = ME_WAKE;
        }
    }
}
