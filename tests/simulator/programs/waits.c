/* SPDX-License-Identifier: Apache-2.0
 * Cores that wait for words in every way: what a simulator may count at once, and what it may not.
 */
#include "bare.h"
#include "cluster.h"
#include "platform.h"

#define ROUNDS 12u
#define OTHERS 4u /* rounds after which only one core waits */
#define TIMER_EVENT (1u << 10)
#define TEST_AND_SET(address) (*(volatile uint32_t *)((uintptr_t)(address) + 0x00100000u))

NOTES_AND_VECTORS
int main(void);

static volatile uint32_t ticks, in_l2, list[64];
static volatile uint32_t in_l1 ME_L1, answer ME_L1, lock ME_L1;
static volatile uint16_t half ME_L1;

HANDLER void on_any(void) { ticks++; }

/* Asleep by the cluster's timer, so that those who wait are alone; the first that happens then is a store. */
static void doze(uint32_t cycles, uint32_t n)
{
    REG(ME_CLUSTER_TIMER_CONFIG + 0x10) = cycles;
    REG(ME_CLUSTER_TIMER_CONFIG) = 1u | 2u | 4u | 32u;
    REG(ME_EVENT_MASK_SET) = TIMER_EVENT;
    me_event_wait(ME_EVENT_WAIT_CLEAR);
    in_l1 = n;
    REG(ME_EVENT_MASK_CLEAR) = TIMER_EVENT;
}

/* Tells everybody the next number, after a time that is short or long. */
static void lead(void)
{
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        doze(n % 3 ? 70u * n : 9000u + n, n);
        in_l2 = n;
        half = (uint16_t)n;
        while (answer != n)
            ;
    }
}

/* How many looks it took: a register changes every time. */
static uint32_t looks(void)
{
    uint32_t count = 0;
    while (in_l1 < OTHERS)
        count++;
    return count;
}

static uint32_t end_of_list(void)
{
    const volatile uint32_t *at = list;
    while (*at == 0)
        at++;
    return (uint32_t)(at - list);
}

static uint32_t in_turns(void)
{
    uint32_t seen = 0;
    for (uint32_t n = 1; n <= OTHERS; n++) {
        while (in_l1 < n)
            ;
        seen += in_l2;
        notes[40] = n;
    }
    return seen;
}

static void locked(void)
{
    while (TEST_AND_SET(&lock) != 0)
        ;
    notes[41]++;
    lock = 0;
}

static uint32_t until_time(uint32_t cycles)
{
    while (REG(FC_TIMER + 8u) < cycles)
        ;
    return REG(FC_TIMER + 8u);
}

/* Like the runtime's wait for a transfer: a branch inside that leads elsewhere. */
static void follow(void)
{
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        while ((int32_t)(in_l1 - n) < 0)
            if (ticks > 1000000)
                notes[8]++;
        answer = n;
    }
}

static void wait_in_one_way(int32_t core, void *argument)
{
    (void)argument;
    switch (core) {
    case 0: lead(); break;
    case 1: notes[1] = looks(); break;
    case 2: notes[2] = end_of_list(); break;
    case 3: notes[3] = in_turns(); break;
    case 4: notes[4] = until_time(20000); break;
    case 5:
        while (in_l2 < OTHERS)
            ;
        break;
    case 6:
        while (half < OTHERS)
            ;
        locked();
        break;
    case 7: locked(); break;
    default: follow(); break;
    }
    notes[10 + core] = cycle();
}

/* The controller waits for its own interrupts. */
static void wait_for_ticks(uint32_t count)
{
    REG(FC_TIMER + 0x10) = 1777;
    REG(FC_TIMER) = 1u | 2u | 4u | 16u;
    REG(ITC + 0x04) = 1u << 10;
    INTERRUPTS_ON();
    while (ticks < count)
        ;
    INTERRUPTS_OFF();
    REG(FC_TIMER) = 1u | 2u;
    REG(ITC + 0x08) = 1u << 10;
    REG(ITC + 0x14) = 1u << 10;
}

int main(void)
{
    use_vectors();
    list[63] = 1;
    in_l1 = answer = lock = 0;
    half = 0;
    wait_for_ticks(5);
    notes[20] = cycle();
    me_cluster_run(wait_in_one_way, 0);
    notes[21] = cycle();
    return 0;
}
