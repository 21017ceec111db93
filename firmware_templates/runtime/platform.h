/* SPDX-License-Identifier: Apache-2.0
 * Differences between the chip and its simulators; the platform is detected once at the start.
 */
#ifndef ME_PLATFORM_H
#define ME_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#define ME_L1 __attribute__((section(".l1")))         /* in L1; not cleared at start */
#define ME_NOINIT __attribute__((section(".noinit"))) /* in L2; not cleared at start */

/* dma_events: the DMA wakes the core that programmed it (otherwise the core polls the status)
 * gap9: has GAP9's clock generator, power management and uDMA v4 */
typedef struct {
    uint32_t exit, itc, dma;
    bool dma_events, gap9;
} me_platform;

/* The platform of this run; in L1, so that the cluster reads it in one cycle. */
extern me_platform me_here;

/* The fabric controller's program; its result is the exit code. */
int main(void);

/* Ends the program with an exit code from 0 to 255. */
_Noreturn void me_exit(int32_t code);

/* The fabric controller sleeps until the cluster or a transfer wakes it; returns false if it must poll,
 * because a transfer in flight will not wake it. */
void me_fc_sleep(bool may_sleep);

#endif
