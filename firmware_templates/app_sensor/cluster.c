/* SPDX-License-Identifier: Apache-2.0
 * The runtime's cluster for an application that sleeps between passes: there all nine cores wait
 * asleep, and the fabric controller serves interrupts while they work.
 */
#include "cluster.h"

#include "l3.h"
#include "platform.h"
#include "sensor_port.h"

#define CANARY 0x57A9C3E1u
#define CANARY_WORDS 4u
#define WORK_EVENT 1u /* software event 0 of the event unit */
#define TRIGGER_WORK_EVENT 0x10200E00u
#define ITC_MASK_CLEAR (me_here.itc + 0x08u)
#define RUNTIMES_LINES (ME_WAKE | ME_L3_END) /* polled by the runtime: no handler takes them */

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
    for (uint32_t core = 0; core <= ME_CORES; core++)
        for (uint32_t word = 0; word < CANARY_WORDS; word++)
            canary(core)[word] = CANARY;
    job.asked = job.done = job.ready = 0;
    ME_REG(ME_CLUSTER_CACHE_ENABLE) = 0xFFFFFFFFu;
    for (int32_t core = 0; core < ME_CORES; core++)
        ME_REG(ME_BOOT_ADDRESS(core)) = (uint32_t)(uintptr_t)_start;
    ME_REG(ME_FETCH_ENABLE) = 0;
    ME_REG(ME_FETCH_ENABLE) = (1u << ME_CORES) - 1;
}

/* Interrupts are off but for one place, so that none is missed between a look at `done` and wfi. */
void me_cluster_run(me_work work, void *argument)
{
    me_port_interrupts(false);
    ME_REG(me_here.itc + ME_ITC_MASK_SET) = RUNTIMES_LINES;
    job.work = work;
    job.argument = argument;
    job.asked = job.asked + 1;
    ME_REG(TRIGGER_WORK_EVENT) = 1u << ME_CONTROL_CORE;
    while (job.done != job.asked) {
        me_fc_sleep(!me_l3_needs_polling());
        me_l3_serve();
        ME_REG(ITC_MASK_CLEAR) = RUNTIMES_LINES;
        me_port_interrupts(true);
        me_port_interrupts(false);
        ME_REG(me_here.itc + ME_ITC_MASK_SET) = RUNTIMES_LINES;
    }
    ME_REG(ITC_MASK_CLEAR) = RUNTIMES_LINES;
    me_port_interrupts(true);
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

/* The event may have come before: then the wait ends at once. */
static void wait_for_work(void)
{
    ME_REG(ME_EVENT_MASK_CLEAR) = ME_EVENT_BARRIER;
    ME_REG(ME_EVENT_MASK_SET) = WORK_EVENT;
    while (job.asked == job.done)
        me_event_wait(ME_EVENT_WAIT_CLEAR);
    ME_REG(ME_EVENT_MASK_CLEAR) = WORK_EVENT;
    ME_REG(ME_EVENT_BUFFER_CLEAR) = WORK_EVENT;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
}

/* Where crt0.S brings the cores of the cluster. */
_Noreturn void me_cluster_core(int32_t core);
_Noreturn void me_cluster_core(int32_t core)
{
    prepare_core(core);
    for (;;) {
        if (core == ME_CONTROL_CORE)
            wait_for_work();
        me_barrier_all();
        job.work(core, job.argument);
        me_barrier_all();
        if (core == ME_CONTROL_CORE) {
            job.done = job.asked;
            ME_REG(me_here.itc + ME_ITC_STATUS_SET) = ME_WAKE;
        }
    }
}
