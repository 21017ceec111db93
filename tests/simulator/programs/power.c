/* SPDX-License-Identifier: Apache-2.0
 * What WHAT says: 0 the cluster off and on again, 1 the watchdog, 2 deep sleep until a counter ends
 * it, 3 the same until data-ready is low, 4 a look at the cluster while it is off.
 */
#include "bare.h"
#include "cluster.h"
#include "platform.h"

#define SLEEP_CONTROL 0x1A104104u
#define SLEEP_INFO 0x1A1040F8u

NOTES_AND_VECTORS
int main(void);

static volatile uint32_t picl_ends;
static volatile uint32_t loaded = 7;
static volatile uint32_t in_l1 __attribute__((section(".l1")));
HANDLER void on_any(void) { picl_ends += (CSR_READ(mcause) & 31) == 24; }

static void mode(uint32_t domain, uint32_t value)
{
    REG(0x1A107008u) = value;
    REG(0x1A107004u) = 0x10000000u | domain;
    while (REG(0x1A107000u) & 1u)
        ;
}

static void mark(int32_t core, void *argument)
{
    ((volatile uint32_t *)argument)[core] = 1u + (uint32_t)core;
}

/* The runtime sleeps until the cluster's wake-up is pending: that must not be taken. */
static void run(uint32_t first_note)
{
    INTERRUPTS_OFF();
    me_cluster_run(mark, (void *)(uintptr_t)&notes[first_note]);
    INTERRUPTS_ON();
}

static void pause(uint32_t cycles)
{
    const uint32_t from = cycle();
    while (cycle() - from < cycles)
        ;
}

/* Asleep for some time, by a timer that ends wfi without an interrupt. */
static void doze(uint32_t cycles)
{
    REG(FC_TIMER + 0x10) = cycles;
    REG(FC_TIMER) = 1u | 2u | 4u | 32u;
    INTERRUPTS_OFF();
    WFI();
    REG(ITC + 0x14) = 1u << 10;
    INTERRUPTS_ON();
}

static void cluster(void)
{
    const me_platform here = me_here; /* which lies in L1 */
    in_l1 = 3;
    run(8);
    doze(50000);
    const uint32_t from = cycle();
    mode(0x800, 6);
    notes[0] = cycle() - from;
    doze(70000);
    const uint32_t again = cycle();
    mode(0x800, 0);
    notes[1] = cycle() - again;
    notes[2] = picl_ends;
    notes[3] = in_l1 == 3;
    me_here = here;
    me_cluster_start();
    run(20);
}

static void watchdog(void)
{
    if (REG(SLEEP_INFO) & 0xFF) { /* started again */
        notes[0] = loaded;
        notes[1] = REG(SLEEP_INFO) & 0xFF;
        return;
    }
    REG(SLEEP_CONTROL) = 5;
    loaded = 8;
    REG(0x1A1040CCu) = 1u << 31 | 20;
    for (uint32_t n = 0; n < 4; n++) {
        pause(15 * 11292);
        REG(0x1A1040C8u) = 0;
    }
    for (;;)
        WFI();
}

static void deep_sleep(uint32_t wake)
{
    if (REG(SLEEP_INFO) & 0xFF) {
        notes[0] = loaded;
        notes[1] = REG(SLEEP_INFO);
        return;
    }
    loaded = 8;
    REG(SLEEP_CONTROL) = 5 | wake;
    REG(0x1A104108u) = 2; /* pad 42, low */
    REG(0x1A10410Cu) = wake ? 0 : 1u << 20 | 100;
    mode(0x700, 9);
    for (;;)
        WFI();
}

int main(void)
{
    use_vectors();
    REG(ITC) = 1u << 24 | 1u << 10 | 1u;
    INTERRUPTS_ON();
    if (WHAT == 0)
        cluster();
    if (WHAT == 1)
        watchdog();
    if (WHAT == 2)
        deep_sleep(0);
    if (WHAT == 3)
        deep_sleep(1u << 10);
    if (WHAT == 4) {
        mode(0x800, 6);
        notes[0] = in_l1;
    }
    return 0;
}
