/* SPDX-License-Identifier: Apache-2.0
 * The bare chip's time, and the clock of controller and cluster: the network's during a pass, otherwise a
 * slower one. Both come from one clock generator by its dividers, so that it does not lock anew, and the
 * peripherals' divider stays as it is. SDK 4.12 also changes dividers of clocks that run (pi_freq_set); no
 * public document says that they do so without a glitch, or how long it takes.
 */
#include <stdbool.h>

#include "port_gap9.h"

#include "clock.h"
#include "sensor_network.h"
#include "sensor_port.h"

#define CLOCK_TIMER 0x1A10B800u /* counts the controller's clock */

/* 2**32 times the microseconds per cycle; at most 1e-7 too small. */
#define US_PER_CYCLE ((uint32_t)(4294967296000000ull / ME_CHIP_HZ))
#define US_PER_WAITING_CYCLE ((uint32_t)(4294967296000000ull * ME_WAITING / ME_CHIP_HZ))

static uint64_t us; /* in units of 2**-32 microseconds */
static uint32_t last, us_per_cycle;

/* Of this count of the timer; with interrupts off. */
static void count(uint32_t now)
{
    us += (uint64_t)(now - last) * us_per_cycle;
    last = now;
}

static uint32_t interrupts_off(void)
{
    uint32_t status;
    __asm__ volatile("csrrci %0, mstatus, 8" : "=r"(status)::"memory");
    return status;
}

static void restore_interrupts(uint32_t status)
{
    __asm__ volatile("csrs mstatus, %0" ::"r"(status & 8u) : "memory");
}

uint32_t me_port_us(void)
{
    const uint32_t status = interrupts_off();
    count(ME_REG(CLOCK_TIMER + ME_TIMER_COUNT));
    const uint32_t found = (uint32_t)(us >> 32);
    restore_interrupts(status);
    return found;
}

#if ME_WAITING > 1
/* Time is counted as if the clock changed with the store. If it changes later, a microsecond at the network's
 * clock counts as ME_WAITING of them. Between load and store are the same few cycles at either clock: both are in
 * one line of the instruction cache, for which the core waits at the instruction before them. */
static void set_divider(uint32_t divider)
{
    const uint32_t status = interrupts_off();
    uint32_t now;
    __asm__ volatile(".balign 16\n\t"
                     "nop\n\t"
                     "lw %0, 0(%1)\n\t"
                     "sw %2, 0(%3)"
                     : "=&r"(now)
                     : "r"(CLOCK_TIMER + ME_TIMER_COUNT), "r"(ME_FLL_CORES * divider + ME_PERIPH_DIVIDER),
                       "r"(ME_FLL_DIVIDERS)
                     : "memory");
    count(now);
    us_per_cycle = divider == ME_CLOCK_DIVIDER ? US_PER_CYCLE : US_PER_WAITING_CYCLE;
    restore_interrupts(status);
}

void me_port_pass(bool begins) { set_divider(begins ? ME_CLOCK_DIVIDER : ME_CLOCK_DIVIDER * ME_WAITING); }
#else
void me_port_pass(bool begins) { (void)begins; }
#endif

void me_port_open_clock(void)
{
    us_per_cycle = US_PER_CYCLE;
    ME_REG(CLOCK_TIMER + ME_TIMER_CONFIG) = ME_TIMER_BEGIN;
    me_port_pass(false);
}
