/* SPDX-License-Identifier: Apache-2.0
 * The cores' clock divided by SLOW while the program runs, and back: how long a loop and a sleep take by a
 * timer of the controller. Bytes leave a UART meanwhile, whose clock is divided by PERIPHERALS.
 */
#include "bare.h"

#define COUNTER 0x1A10B800u
#define UART (UDMA + 0x280u + 0x80u)
enum { TX = 3, ROUNDS = 1000, SLEEP = 5000 };

NOTES_AND_VECTORS
int main(void);
HANDLER void on_any(void) {}

static const uint8_t bytes[5] = { 1, 2, 3, 4, 5 };

static uint32_t ticks(void) { return REG(COUNTER + 8); }

static uint32_t loop(void)
{
    const uint32_t from = ticks();
    for (volatile uint32_t i = 0; i < ROUNDS; i++)
        ;
    return ticks() - from;
}

static uint32_t doze(void)
{
    const uint32_t from = ticks();
    REG(FC_TIMER + 0x10) = SLEEP;
    REG(FC_TIMER) = 1u | 2u | 4u | 32u;
    WFI();
    REG(ITC + 0x14) = 1u << 10;
    return ticks() - from;
}

static void divide(uint32_t cores) { REG(0x1A10002Cu) = cores * 0x01010100u + PERIPHERALS; }

static void send(void)
{
    REG(UDMA + 0x10) = 1u << 5;
    REG(UDMA + 0x04) = 1u << 5;
    REG(UART + 0x04) = TX;
    REG(UART + 0x24) = 99u << 16 | 0x306u; /* 100 periods a bit, 10 bits */
    REG(CHANNEL(TX)) = (uint32_t)(uintptr_t)bytes;
    REG(CHANNEL(TX) + 8) = sizeof bytes;
    REG(CHANNEL(TX) + 0x1C) = 2;
}

int main(void)
{
    REG(COUNTER) = 3;
    REG(ITC) = 1u << 10;
    divide(1);
    for (uint32_t k = 0; k < 3; k++) {
        if (k == 1)
            send();
        divide(k == 1 ? SLOW : 1);
        notes[2 * k] = loop();
        notes[2 * k + 1] = doze();
    }
    while (REG(CHANNEL(TX) + 0x1C) & 2u || REG(UART + 0x20) & 1u)
        ;
    return 0;
}
