/* SPDX-License-Identifier: Apache-2.0
 * The cluster: cores 0 .. 7 compute; core 8 controls the run and transfers data.
 */
#ifndef ME_CLUSTER_H
#define ME_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "registers.h"

#define ME_WORKERS 8
#define ME_CONTROL_CORE 8 /* number of the control core */
#define ME_CORES 9

/* Work that all nine cores run, each with its own number. */
typedef void (*me_work)(int32_t core, void *argument);

/* Starts the cores, which then wait for work. Fabric controller only. */
void me_cluster_start(void);

/* Runs work on all nine cores; the fabric controller sleeps until the last one has finished. */
void me_cluster_run(me_work work, void *argument);

/* Whether no stack has overflowed so far. */
bool me_stacks_intact(void);

static inline int32_t me_core(void)
{
    int32_t core;
    __asm__("csrr %0, mhartid" : "=r"(core));
    return core;
}

/* p.elw: sleeps until the event unit answers the read. */
static inline void me_event_wait(uint32_t address)
{
    uint32_t events;
    __asm__ volatile(".insn i 0x03, 6, %0, 0(%1)" : "=r"(events) : "r"(address) : "memory");
}

/* Barrier of all nine cores. A waiting core has only the barrier's event in its mask, as any other event would end
 * the wait. */
static inline void me_barrier_all(void) { me_event_wait(ME_BARRIER_WAIT(0)); }

/* Barrier of the eight worker cores. */
static inline void me_barrier_workers(void) { me_event_wait(ME_BARRIER_WAIT(1)); }

/* First of n items of core 0 .. 7; `core + 1` gives the end of its share; n < 2**28. */
static inline int32_t me_share(int32_t core, int32_t n)
{
    return (int32_t)((uint32_t)core * (uint32_t)n / ME_WORKERS);
}

#endif
