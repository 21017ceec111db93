/* SPDX-License-Identifier: Apache-2.0
 * Early exit: ends a run before its last layer if the first output decides so. Included after me_tiles.h.
 */
#ifndef ME_EXIT_H
#define ME_EXIT_H

#include "me_tiles.h"

#ifdef ME_GAP9

static int me_ended ME_L1; /* whether `ends` ended the run */

#ifdef ME_LEVEL_TRANSFERS_H
static inline void me_transfers_stop(void)
{
    for (int32_t level = 0; level < ME_LEVELS; level++)
        if (me_transfers_run.of[level].started > 0)
            me_finish_transfers(level, me_transfers_run.of[level].started);
}
#else
static inline void me_transfers_stop(void) {}
#endif

/* -> whether the run ends after the preceding layer; the same value on every core. Only the control core
 * calls `ends`. At the end of a run it waits for the transfers of later layers that have already started,
 * because the next run writes to the same addresses. */
static inline int me_run_ends(int (*ends)(const void *), const void *output)
{
    if (me_core() == ME_CONTROL_CORE) {
        me_ended = ends && ends(output);
        if (me_ended) {
            me_wait_for_all();
            me_transfers_stop();
        }
    }
    me_barrier_all();
    return me_ended;
}

#else

static inline int me_run_ends(int (*ends)(const void *), const void *output) { return ends && ends(output); }

#endif

#endif
