/* SPDX-License-Identifier: Apache-2.0
 * The runtime's cluster for an application that sleeps between passes: there all nine cores wait
 * asleep, and the fabric controller serves interrupts while they work.
 */
#include "cluster.h"

#include "clock.h"
#include "cluster_cores.h"
#include "l3.h"
#ifdef ME_MRAM_READS
#include "mram.h"
#endif
#include "platform.h"
#include "sensor_port.h"

#define WORK_EVENT 1u /* software event 0 of the event unit */
#define TRIGGER_WORK_EVENT 0x10200E00u
#define ITC_MASK_CLEAR (me_here.itc + 0x08u)
#define RUNTIMES_LINES (ME_WAKE | ME_L3_END) /* polled by the runtime; no handler consumes them */

bool me_stacks_intact(void) { return me_canaries_live(); }

void me_cluster_start(void) { me_cores_start(); }

/* Interrupts are enabled in only one place, so that none is missed between reading `done` and wfi. */
void me_cluster_run(me_work work, void *argument)
{
    me_port_interrupts(false);
    ME_REG(me_here.itc + ME_ITC_MASK_SET) = RUNTIMES_LINES;
    me_job_give(work, argument);
    ME_REG(TRIGGER_WORK_EVENT) = 1u << ME_CONTROL_CORE;
    while (me_job.done != me_job.asked) {
        me_fc_sleep(!me_l3_needs_polling());
        me_l3_serve();
        ME_REG(ITC_MASK_CLEAR) = RUNTIMES_LINES;
        me_port_interrupts(true);
        me_port_interrupts(false);
        ME_REG(me_here.itc + ME_ITC_MASK_SET) = RUNTIMES_LINES;
#ifdef ME_MRAM_READS
        me_mram_serve(); /* the handler has taken the events of the flash */
#endif
    }
    ME_REG(ITC_MASK_CLEAR) = RUNTIMES_LINES;
    me_port_interrupts(true);
}

/* If the event came before, the wait ends at once. */
static void wait_for_work(void)
{
    ME_REG(ME_EVENT_MASK_CLEAR) = ME_EVENT_BARRIER;
    ME_REG(ME_EVENT_MASK_SET) = WORK_EVENT;
    while (me_job.asked == me_job.done)
        me_event_wait(ME_EVENT_WAIT_CLEAR);
    ME_REG(ME_EVENT_MASK_CLEAR) = WORK_EVENT;
    ME_REG(ME_EVENT_BUFFER_CLEAR) = WORK_EVENT;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
}

_Noreturn void me_cluster_core(int32_t core);
_Noreturn void me_cluster_core(int32_t core) { me_core_serve(core, wait_for_work); }
