/* SPDX-License-Identifier: Apache-2.0
 * UART 1: two buffers one behind the other, asleep until each has left, then byte by byte.
 */
#include "bare.h"

#define UART (UDMA + 0x280u + 0x80u)
#ifndef PERIPHERAL
#define PERIPHERAL 5u
#endif
#ifndef SETUP
#define SETUP (99u << 16 | 0x306u) /* 100 periods a bit, 8 bits, both directions on */
#endif
enum { TX = 3, RX = 7 };

NOTES_AND_VECTORS
int main(void);

static volatile uint32_t events, last_event;
static const uint8_t first[5] = { 0, 255, 0x55, 0xAA, 'x' }, second[3] = { 1, 2, 3 };

HANDLER void on_any(void)
{
    last_event = REG(ITC + 0x24);
    notes[32 + (events & 15)] = last_event;
    notes[48 + (events & 7)] = cycle();
    events++;
}

static void start(uint32_t channel, const void *bytes, uint32_t size)
{
    REG(CHANNEL(channel)) = (uint32_t)(uintptr_t)bytes;
    REG(CHANNEL(channel) + 8) = size;
    REG(CHANNEL(channel) + 0x1C) = 2;
}

static void until_events(uint32_t count)
{
    for (;;) {
        INTERRUPTS_OFF();
        if (events >= count)
            return;
        WFI();
        INTERRUPTS_ON();
    }
}

static void open(void)
{
    REG(UDMA + 0x10) = 1u << PERIPHERAL;
    REG(UDMA + 0x04) = 1u << PERIPHERAL;
    REG(UART + 0x00) = RX;
    REG(UART + 0x04) = TX;
    REG(UART + 0x24) = SETUP;
    REG(SOC_EVENTS + 0x98) = TX;
    use_vectors();
    REG(ITC) = 1u << 26;
}

int main(void)
{
    open();
    notes[0] = cycle();
    start(TX, first, sizeof first);
    start(TX, second, sizeof second);
    notes[1] = REG(UART + 0x20);
    notes[2] = REG(CHANNEL(TX) + 0x1C);
    until_events(2);
    notes[3] = cycle();
    notes[4] = REG(CHANNEL(TX) + 0x18);
    while (REG(UART + 0x20) & 1u)
        ;
    notes[5] = cycle();
    REG(SOC_EVENTS + 0x94) = TX; /* its end is not told any more, that of every byte is */
    REG(SOC_EVENTS + 0x98) = 88;
    REG(UART + 0x2C) = 4;
    start(TX, second, sizeof second);
    until_events(5);
    notes[6] = events;
    REG(ITC) = 1;
    return 0;
}
