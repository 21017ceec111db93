/* The event unit as SDK 5.x has it; pmsis.h declares 4.x's function. */
#ifndef EVENT_UNIT_H
#define EVENT_UNIT_H

#include "pmsis.h"

static inline uint32_t hal_eu_evt_mask_wait_and_clr(uint32_t events) { return eu_evt_maskWaitAndClr(events); }

#endif
