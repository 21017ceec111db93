/* SPDX-License-Identifier: Apache-2.0
 * The runtime of the network on the chip: that of firmware/, or of the GAP SDK application (-DME_PMSIS,
 * with its folder in the include path). Both define the same functions.
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
