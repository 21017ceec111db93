/* SPDX-License-Identifier: Apache-2.0
 * Waiting for events of the cluster's event unit, with the runtime of firmware/ or of the GAP SDK.
 */
#ifndef ME_EVENT_UNIT_H
#define ME_EVENT_UNIT_H

#include "me_runtime.h"

#ifdef ME_PMSIS
#ifndef ME_SDK_4
#include "pmsis/implem/hal/event_unit/event_unit.h"
#endif

#define ME_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Sleeps until one of these events comes; returns at once if one is pending. */
static inline void me_wait_for_events(uint32_t events)
{
#ifdef ME_SDK_4
    eu_evt_maskWaitAndClr(events);
#else
    hal_eu_evt_mask_wait_and_clr(events);
#endif
}

#else

/* Sleeps until one of these events comes; returns at once if one is pending. The barrier's event is masked
 * meanwhile, because it would end the wait. */
static inline void me_wait_for_events(uint32_t events)
{
    ME_REG(ME_EVENT_MASK_CLEAR) = ME_EVENT_BARRIER;
    ME_REG(ME_EVENT_MASK_SET) = events;
    me_event_wait(ME_EVENT_WAIT_CLEAR);
    ME_REG(ME_EVENT_MASK_CLEAR) = events;
    ME_REG(ME_EVENT_MASK_SET) = ME_EVENT_BARRIER;
}

#endif

#endif
