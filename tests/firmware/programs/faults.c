/* One misdeed a run, as `misdeed` says; by core 2, or the fabric controller for those from 50 on.
 * Lines that must be named end with the number of the misdeed. */
#include "firmware/cluster.h"
#include "firmware/dma.h"
#include "firmware/l3.h"
#include "firmware/platform.h"

#define COMMANDS 0x10204800u
#define FREE 0x10204804u
#define INTO_L1 (1u << 17 | 1u << 18)
#define BYTES 4096u

static volatile int32_t misdeed __attribute__((section(".data"))) = 0x5A17D0ED;
static uint8_t l2[BYTES] ME_NOINIT;
static uint8_t l1[BYTES] ME_L1 __attribute__((aligned(64)));
static volatile uint32_t seen;

static void command(uint32_t word, const void *to, const void *from)
{
    ME_REG(COMMANDS) = word;
    ME_REG(COMMANDS) = (uint32_t)(uintptr_t)to;
    ME_REG(COMMANDS) = (uint32_t)(uintptr_t)from; /* 10..15, 18 */
}

static void call(uint32_t address) { ((void (*)(void))(uintptr_t)address)(); /* 5..6 */ }

static __attribute__((noinline)) uint32_t dig(uint32_t depth)
{ /* 30 */
    volatile uint32_t room[16];
    room[0] = depth; /* 30 */
    return depth > 1000 ? 0 : dig(depth + 1) + room[0];
}

static void basic(int32_t which)
{
    if (which == 0)
        __asm__ volatile(".word 0xFFFFFFFF"); /* 0 */
    if (which == 1)
        ME_REG(0x20000000u) = 1; /* 1 */
    if (which == 2)
        seen = ME_REG(0x1A1040B4u); /* 2 */
    if (which == 3)
        *(volatile uint8_t *)0x10200008u = 1; /* 3 */
    if (which == 4)
        seen = ME_REG(0x10000000u + 128 * 1024 - 2); /* 4 */
    if (which == 5)
        call(0x10000000u);
    if (which == 6)
        call(0x1C000000u + 64 * 1024 + 1536 * 1024);
    if (which == 7)
        __asm__ volatile("ebreak"); /* 7 */
    if (which == 8)
        __asm__ volatile("ecall"); /* 8 */
    if (which == 9)
        __asm__ volatile("csrr %0, 0x123" : "=r"(seen)); /* 9 */
}

static void transfers(int32_t which)
{
    if (which != 14)
        seen = ME_REG(COMMANDS);
    if (which == 10)
        command(0 | INTO_L1, l1, l2);
    if (which == 11)
        command(0x1FFFF | INTO_L1, l1, l2);
    if (which == 12)
        command(64 | INTO_L1 | 1u << 23, l1, l2);
    if (which == 13)
        command(64 | INTO_L1, l1, (void *)0x1D000000);
    if (which == 14)
        command(64 | INTO_L1, l1, l2);
    if (which == 15)
        command(64 | 1u << 17, l1, l2);
    if (which == 16)
        ME_REG(FREE) = 1u << 9; /* 16 */
    if (which == 17) {
        command(BYTES | INTO_L1, l1, l2);
        ME_REG(FREE) = 1u << seen; /* 17 */
    }
    if (which == 18) {
        command(BYTES | INTO_L1, l1, l2);
        command(64 | 1u << 18, l1 + 2048, l2);
    }
    if (which == 19) {
        command(100 | INTO_L1 | 1u << 19, l1, l2);
        ME_REG(COMMANDS) = 64;
        ME_REG(COMMANDS) = 64; /* 19 */
    }
}

static __attribute__((noinline)) void look(volatile uint8_t *at) { seen = *at; /* 20 */ }

static __attribute__((noinline)) void overwrite(volatile uint8_t *at) { *at = 1; /* 21..22 */ }

static void races(int32_t which)
{
    const me_dma_direction direction = which < 22 ? ME_L2_TO_L1 : ME_L1_TO_L2;
    const uint32_t transfer = me_dma_start(l1, l2, BYTES, direction);
    volatile uint8_t *last = l1 + BYTES - 4;
    if (which == 20 || which == 23)
        look(last);
    if (which == 21 || which == 22)
        overwrite(last);
    me_dma_wait(transfer);
    look(last);
    overwrite(last);
}

static void work(int32_t core, void *unused)
{
    const int32_t which = misdeed;
    (void)unused;
    if (core != 2)
        return;
    if (which < 10)
        basic(which);
    else if (which < 20)
        transfers(which);
    else if (which < 30)
        races(which);
    else if (which == 30)
        seen = dig(0);
    else if (which == 31)
        me_event_wait(ME_EVENT_WAIT_CLEAR);
    else if (which == 32)
        for (;;) /* 32 */
            seen = seen + 1; /* 32 */
}

int main(void)
{
    if (misdeed == 50)
        ME_REG(0x30000000u) = 1; /* 50 */
    me_cluster_run(work, 0);
    return 77;
}
