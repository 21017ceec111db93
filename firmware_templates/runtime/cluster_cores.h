/* SPDX-License-Identifier: Apache-2.0
 * The cores of the cluster. Exactly one file of a program includes it: cluster.c, or a file of an
 * application whose cores wait in another way.
 */
#ifndef ME_CLUSTER_CORES_H
#define ME_CLUSTER_CORES_H

#include "cluster.h"
#include "platform.h"

#define ME_CANARY 0x57A9C3E1u
#define ME_CANARY_WORDS 4u

extern uint32_t me_stacks[], me_stack_bytes[], me_fc_stack[]; /* linker script */

/* asked and done count tasks; the cluster has a task while they differ. */
static volatile struct {
    me_work work;
    void *argument;
    uint32_t asked, done, ready;
} me_job ME_L1;

/* Lowest words of a core's stack; 9: the fabric controller. */
static volatile uint32_t *me_canary(uint32_t core)
{
    const uint32_t words = (uint32_t)(uintptr_t)me_stack_bytes / 4;
    return core < ME_CORES ? me_stacks + core * words : me_fc_stack;
}

static void me_canaries_plant(void)
{
    for (uint32_t core = 0; core <= ME_CORES; core++)
        for (uint32_t word = 0; word < ME_CANARY_WORDS; word++)
            me_canary(core)[word] = ME_CANARY;
}

static bool me_canaries_live(void)
{
    for (uint32_t core = 0; core <= ME_CORES; core++)
        for (uint32_t word = 0; word < ME_CANARY_WORDS; word++)
            if (me_canary(core)[word] != ME_CANARY)
                return false;
    return true;
}

static void me_cores_start(void)
{
    extern void _start(void); /* crt0.S */
    me_canaries_plant();
    me_job.asked = me_job.done = me_job.ready = 0;
    ME_REG(ME_CLUSTER_CACHE_ENABLE) = 0xFFFFFFFFu;
    for (int32_t core = 0; core < ME_CORES; core++)
        ME_REG(ME_BOOT_ADDRESS(core)) = (uint32_t)(uintptr_t)_start;
    ME_REG(ME_FETCH_ENABLE) = 0;
    ME_REG(ME_FETCH_ENABLE) = (1u << ME_CORES) - 1;
}

/* The cluster has a task as soon as `asked` differs from `done`. */
static void me_job_give(me_work work, void *argument)
{
    me_job.work = work;
    me_job.argument = argument;
    me_job.asked = me_job.asked + 1;
}

static void me_barrier_set(uint32_t barrier, uint32_t cores)
{
    ME_REG(ME_BARRIER_TRIGGER_MASK(barrier)) = cores;
    ME_REG(ME_BARRIER_TARGET_MASK(barrier)) = cores;
}

static void me_core_prepare(int32_t core)
{
    ME_REG(ME_EVENT_MASK_CLEAR) = 0xFFFFFFFFu;
    ME_REG(ME_EVENT_BUFFER_CLEAR) = 0xFFFFFFFFu;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
    if (core == ME_CONTROL_CORE) {
        me_barrier_set(0, (1u << ME_CORES) - 1);
        me_barrier_set(1, (1u << ME_WORKERS) - 1);
        ME_REG(ME_CLUSTER_TIMER_CONFIG) = ME_TIMER_RESET_AND_RUN;
        me_job.ready = 1;
    }
    while (!me_job.ready)
        ;
}

/* Entry of the cluster's cores, called by crt0.S. until_work: the control core returns when there is a
 * task. */
__attribute__((always_inline)) _Noreturn static inline void me_core_serve(int32_t core,
                                                                          void (*until_work)(void))
{
    me_core_prepare(core);
    for (;;) {
        if (core == ME_CONTROL_CORE)
            until_work();
        me_barrier_all();
        me_job.work(core, me_job.argument);
        me_barrier_all();
        if (core == ME_CONTROL_CORE) {
            me_job.done = me_job.asked;
            ME_REG(me_here.itc + ME_ITC_STATUS_SET) = ME_WAKE;
        }
    }
}

#endif
