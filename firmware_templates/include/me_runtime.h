/* SPDX-License-Identifier: Apache-2.0
 * What runs the network on the chip: the runtime of firmware/, or that of the GAP SDK application
 * (-DME_PMSIS, with its folder among the places of headers). Both have the same functions.
 */
#ifndef ME_RUNTIME_H
#define ME_RUNTIME_H

#ifdef ME_PMSIS
#include "pmsis_runtime.h"
#else
#include "firmware/cluster.h"
#include "firmware/dma.h"
#include "firmware/l3.h"
#include "firmware/marks.h"
#include "firmware/platform.h"
#endif

#endif
