/* SPDX-License-Identifier: Apache-2.0
 * End times of layers, in cycles of the cluster.
 */
#ifndef ME_MARKS_H
#define ME_MARKS_H

#include <stdint.h>

#include "registers.h"

/* me_marks[0]: start of the first layer; me_marks[1 + layer]: end of that layer. The program defines it with the
 * size for its network. */
extern volatile uint32_t me_marks[];

/* Records the time of the end of a layer; -1: start. Called only by the control core; a simulator can
 * observe the start and end of layers at this address. */
void me_mark(int32_t layer);

/* Cycles since the cluster was started, modulo 2**32. */
static inline uint32_t me_cycles(void) { return ME_REG(ME_CLUSTER_TIMER_COUNT); }

#endif
