/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include "cluster.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u) /* counts down, 24 bits */
#define SYSTICK_MOST 0xFFFFFFu

enum { EXIT = 0x20, STOPPED = 0x20026 }; /* SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit */

int32_t me_semihost(int32_t operation, const void *argument); /* defined in start.S */
void me_clock_start(void);
void me_tick(void);

#define UNTOUCHED 0x57AC0000u

extern uint32_t me_stack[]; /* the lowest word of the stack, of the linker script */
static volatile uint32_t turns; /* how often SysTick reached 0 */

_Noreturn void me_exit(int32_t code)
{
    const uint32_t block[2] = { STOPPED, (uint32_t)code };
    for (;;)
        me_semihost(EXIT, block);
}

void me_tick(void) { turns++; }

bool me_stacks_intact(void) { return *(volatile uint32_t *)me_stack == UNTOUCHED; }

void me_clock_start(void)
{
    me_stack[0] = UNTOUCHED;
    SYSTICK_RELOAD = SYSTICK_MOST;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; /* the processor's clock, interrupt, on */
}

uint32_t me_ticks(void)
{
    uint32_t high, low;
    do {
        high = turns;
        low = SYSTICK_MOST - SYSTICK_VALUE;
    } while (high != turns);
    return (high << 24) + low;
}
