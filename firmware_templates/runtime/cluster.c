/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "clock.h"
#include "cluster_cores.h"
#include "l3.h"
#include "platform.h"
#ifdef ME_MRAM_READS
#include "me_mram.h"
#include "mram.h"
#endif

bool me_stacks_intact(void) { return me_canaries_live(); }

void me_cluster_start(void) { me_cores_start(); }

void me_cluster_run(me_work work, void *argument)
{
    me_job_give(work, argument);
    while (me_job.done != me_job.asked) {
        me_fc_sleep(!me_l3_needs_polling());
        me_l3_serve();
#ifdef ME_MRAM_READS
        me_mram_take_events();
        me_mram_serve();
#endif
    }
}

static void wait_for_work(void)
{
    while (me_job.asked == me_job.done)
        ;
}

_Noreturn void me_cluster_core(int32_t core);
_Noreturn void me_cluster_core(int32_t core) { me_core_serve(core, wait_for_work); }
