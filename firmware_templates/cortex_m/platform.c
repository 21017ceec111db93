/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include "cluster.h"
#include "exit_codes.h"
#include "host.h"
#include "marks.h"
#include "network.h"
#include "results.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u) /* counts down, 24 bits */
#define SYSTICK_MOST 0xFFFFFFu

enum { EXIT = 0x20, STOPPED = 0x20026 }; /* SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit */

extern void (*me_trace)(int32_t result, const void *data, int32_t bytes); /* of network.c, by -DME_TRACE */
int32_t me_semihost(int32_t operation, const void *argument); /* defined in start.S */
void me_clock_start(void);
void me_tick(void);

#define UNTOUCHED 0x57AC0000u

extern uint32_t me_stack[]; /* the lowest word of the stack, of the linker script */
static volatile uint32_t turns; /* how often SysTick reached 0 */
static uint32_t spent[ME_LAYERS + 1], since;
static int32_t layers_file = -1;

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

static uint32_t now(void)
{
    uint32_t high, low;
    do {
        high = turns;
        low = SYSTICK_MOST - SYSTICK_VALUE;
    } while (high != turns);
    return (high << 24) + low;
}

static void put(const void *from, uint32_t bytes)
{
    if (me_write(layers_file, from, bytes) != bytes)
        me_exit(ME_EXIT_NO_OUTPUT);
}

static void note(int32_t result, const void *data, int32_t bytes)
{
    const uint32_t head[2] = { (uint32_t)result, (uint32_t)bytes };
    spent[result < 0 ? ME_LAYERS : me_layer_of_result[result]] += now() - since;
    put(head, sizeof head);
    if (bytes > 0)
        put(data, (uint32_t)bytes);
    since = now();
}

void me_cluster_run(me_work work, void *argument)
{
    if (layers_file < 0)
        layers_file = me_open("layers.bin", ME_WRITE);
    for (int32_t i = 0; i <= ME_LAYERS; i++)
        spent[i] = 0;
    me_trace = note;
    since = now();
    work(ME_CONTROL_CORE, argument);
    note(-1, 0, 0);
    if (!me_stacks_intact())
        me_exit(ME_EXIT_STACK);
    for (int32_t i = 0; i < ME_LAYERS + ME_COPIES; i++)
        me_marks[i + 1] = me_marks[i] + spent[i];
}
