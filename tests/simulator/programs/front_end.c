/* SPDX-License-Identifier: Apache-2.0
 * A chain of ADS1298 on SPI 1: registers, start, then every frame by DMA in the data-ready
 * interrupt, and out again by UART as it came. Nothing is done outside interrupts.
 */
#include "bare.h"

#ifndef CHIPS
#define CHIPS 1
#endif
#ifndef CONFIG1
#define CONFIG1 0x84 /* high rates, chained, 2 kHz */
#endif
#ifndef FRAME_BYTES
#define FRAME_BYTES (27 * CHIPS)
#endif
#ifndef EDGE
#define EDGE 0u /* falling */
#endif
#ifndef UART_SETUP
#define UART_SETUP (1u << 16 | 0x106u)
#endif
#define SPI (UDMA + 0x80u + 0x80u)
#define UART (UDMA + 0x280u + 0x80u)
#define PIN(n) (1u << ((n) - 32))
#define BANK1 (GPIO + 0x48u)
enum { SPI_RX = 1, SPI_TX = 2, SPI_COMMANDS = 3, UART_TX = 4, DIVIDER = 46 };
enum { READY = 42, START = 43, RESET = 44 };
enum {
    CONFIGURE = DIVIDER | 1u << 8,
    SELECT = 1u << 28,
    FULL_DUPLEX = 12u << 28 | 2u << 21 | 7u << 16,
    END = 9u << 28
};

NOTES_AND_VECTORS
int main(void);

static uint32_t commands[4];
static uint8_t zeros[FRAME_BYTES], frame[FRAME_BYTES];
static volatile uint32_t ended, frames;

static void start(uint32_t channel, const void *bytes, uint32_t size)
{
    __asm__ volatile("" ::: "memory"); /* the bytes are in memory */
    REG(CHANNEL(channel)) = (uint32_t)(uintptr_t)bytes;
    REG(CHANNEL(channel) + 8) = size;
    REG(CHANNEL(channel) + 0x1C) = 2;
}

static void exchange(const uint8_t *out, uint8_t *in, uint32_t bytes)
{
    commands[0] = CONFIGURE;
    commands[1] = SELECT;
    commands[2] = FULL_DUPLEX | (bytes - 1);
    commands[3] = END | 1u;
    start(SPI_RX, in, bytes);
    start(SPI_TX, out, bytes);
    start(SPI_COMMANDS, commands, sizeof commands);
}

HANDLER void on_any(void)
{
    const uint32_t line = CSR_READ(mcause) & 31;
    if (line == 15) { /* a frame is there */
        (void)REG(BANK1 + 0x24);
        if (!frames)
            notes[9] = cycle();
        exchange(zeros, frame, FRAME_BYTES);
        return;
    }
    if (REG(ITC + 0x24) != 81)
        return;
    ended++;
    if (!notes[8])
        return;
    if (!frames)
        notes[10] = cycle();
    frames++;
    start(UART_TX, frame, FRAME_BYTES);
}

static void open(void)
{
    REG(UDMA + 0x10) = 1u << 1 | 1u << 5;
    REG(UDMA + 0x04) = 1u << 1 | 1u << 5;
    REG(SPI) = SPI_RX;
    REG(SPI + 4) = SPI_TX;
    REG(SPI + 8) = SPI_COMMANDS;
    REG(SPI + 0x34) = 0;
    REG(UART + 4) = UART_TX;
    REG(UART + 0x24) = UART_SETUP;
    REG(SOC_EVENTS + 0x98) = 81;
    REG(0x1A104018) = 1u << 20 | 1u << 22 | 1u << 24; /* pads 42, 43, 44 are GPIOs */
    REG(BANK1 + 4) = PIN(READY) | PIN(START) | PIN(RESET);
    REG(BANK1 + 0x10) = PIN(RESET);
    REG(BANK1) = PIN(START) | PIN(RESET);
    use_vectors();
    REG(ITC) = 1u << 26 | 1u << 15;
    INTERRUPTS_ON();
}

#ifndef PLAIN
static uint8_t short_in[16];

static void command(const uint8_t *out, uint32_t bytes)
{
    const uint32_t before = ended;
    exchange(out, short_in, bytes);
    while (ended == before)
        ;
    __asm__ volatile("" ::: "memory");
}

static void set_up_chip(void)
{
    static const uint8_t stop[1] = { 0x11 }, read[5] = { 0x20, 2 },
                         write[5] = { 0x41, 2, CONFIG1, 0x40, 0xC0 }, comparators[3] = { 0x57, 0, 2 },
                         all_inputs[4] = { 0x4F, 1, 0xFF, 0xFF }, go_on[1] = { 0x10 };
    command(stop, 1);
    command(read, 5);
    notes[0] = short_in[2];
    notes[1] = (uint32_t)short_in[3] << 8 | short_in[4];
    command(write, 5);
    command(comparators, 3);
    command(all_inputs, 4);
    command(read, 5);
    notes[2] = (uint32_t)short_in[3] << 8 | short_in[4];
    command(go_on, 1);
}
#endif

int main(void)
{
    open();
#ifndef PLAIN
    set_up_chip();
#endif
    notes[8] = 1;
    REG(BANK1 + 0x1C) = EDGE << 20;
    REG(BANK1 + 0x18) = PIN(READY);
    notes[3] = cycle();
    REG(BANK1 + 0x10) = PIN(START);
    for (;;) {
        WFI();
        notes[4] = frames;
    }
}
