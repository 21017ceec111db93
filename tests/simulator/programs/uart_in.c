/* SPDX-License-Identifier: Apache-2.0
 * UART 1 receives into two buffers in turn and sends back what has come, a buffer at a time.
 */
#include "bare.h"

#define UART (UDMA + 0x280u + 0x80u)
enum { TX = 3, RX = 7, BYTES = 6 };

NOTES_AND_VECTORS
int main(void);

static uint8_t in[2][BYTES];
static uint32_t turn;

HANDLER void on_any(void)
{
    if (REG(ITC + 0x24) != RX)
        return;
    REG(CHANNEL(TX)) = (uint32_t)(uintptr_t)in[turn];
    REG(CHANNEL(TX) + 8) = BYTES;
    REG(CHANNEL(TX) + 0x1C) = 2;
    turn ^= 1;
    notes[0]++;
}

int main(void)
{
    REG(UDMA + 0x10) = 1u << 5;
    REG(UDMA + 0x04) = 1u << 5;
    REG(UART + 0x00) = RX;
    REG(UART + 0x04) = TX;
    REG(UART + 0x24) = 369u << 16 | 0x306u;
    REG(SOC_EVENTS + 0x98) = RX;
    REG(CHANNEL(RX)) = (uint32_t)(uintptr_t)in[0];
    REG(CHANNEL(RX) + 4) = (uint32_t)(uintptr_t)in[1];
    REG(CHANNEL(RX) + 8) = BYTES;
    REG(CHANNEL(RX) + 0x1C) = 3;
    use_vectors();
    REG(ITC) = 1u << 26;
    INTERRUPTS_ON();
    for (;;)
        WFI();
}
