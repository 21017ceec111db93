/* SPDX-License-Identifier: Apache-2.0
 * When layers ended, in ticks of SysTick, without the time in which results are written to layers.bin.
 */
#ifndef ME_MARKS_H
#define ME_MARKS_H

#include <stdint.h>

/* me_marks[0]: start of the first layer; me_marks[1 + layer]: end of that layer. The program defines it with the
 * size for its network. */
extern volatile uint32_t me_marks[];

/* Cycles are not known. */
static inline uint32_t me_cycles(void) { return 0; }

/* The control core's start; me_cluster_run sets the marks. */
static inline void me_mark(int32_t layer) { (void)layer; }

#endif
