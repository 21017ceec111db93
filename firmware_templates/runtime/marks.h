/* SPDX-License-Identifier: Apache-2.0
 * When layers ended, in cycles of the cluster.
 */
#ifndef ME_MARKS_H
#define ME_MARKS_H

#include <stdint.h>

#include "registers.h"

/* me_marks[0]: the first layer started; me_marks[1 + layer]: that layer ended. The program defines
 * it as large as its network. */
extern volatile uint32_t me_marks[];

/* Notes the time; -1 for the start. Called by the core that steers, by nobody else, so a simulator
 * that watches this address sees layers begin and end. */
void me_mark(int32_t layer);

/* Cycles since the cluster was started, modulo 2**32. */
static inline uint32_t me_cycles(void) { return ME_REG(ME_CLUSTER_TIMER_COUNT); }

#endif
