/* SPDX-License-Identifier: Apache-2.0
 * What the files of the bare chip's port share. Addresses, lines and events are those of the register
 * pages of GreenWaves' gap_sdk 4.12 (ITC, SoC event unit, GPIO, uDMA, SPIM, UART, timer unit, power
 * manager, apb_soc_ctrl).
 */
#ifndef ME_PORT_GAP9_H
#define ME_PORT_GAP9_H

#include <stdint.h>

#include "registers.h"

/* uDMA: clock and reset bits per device, and linear channels, whose numbers are also their event numbers. */
#define ME_UDMA_CLOCKS_ON 0x1A102004u
#define ME_UDMA_RESETS_OFF 0x1A102010u
#define ME_CHANNEL(n) (0x1A103000u + 0x20u * (uint32_t)(n))
enum {
    ME_CHANNEL_SPI_RX,
    ME_CHANNEL_SPI_TX,
    ME_CHANNEL_SPI_COMMANDS,
    ME_CHANNEL_UART_TX,
    ME_CHANNEL_UART_RX
};
enum {
    ME_CHANNEL_ADDRESS = 0x00,
    ME_CHANNEL_ADDRESS_2 = 0x04,
    ME_CHANNEL_BYTES = 0x08,
    ME_CHANNEL_NOW_AT = 0x14,
    ME_CHANNEL_CONTROL = 0x1C
};
enum { ME_CHANNEL_IN_TURN = 1, ME_CHANNEL_GO = 2, ME_CHANNEL_STOP = 16 };

/* Starts a transfer on a channel. */
static inline void me_channel_start(uint32_t channel, const void *bytes, uint32_t count)
{
    __asm__ volatile("" ::: "memory"); /* the bytes are in memory */
    ME_REG(ME_CHANNEL(channel) + ME_CHANNEL_ADDRESS) = (uint32_t)(uintptr_t)bytes;
    ME_REG(ME_CHANNEL(channel) + ME_CHANNEL_BYTES) = count;
    ME_REG(ME_CHANNEL(channel) + ME_CHANNEL_CONTROL) = ME_CHANNEL_GO;
}

static inline void me_device_open(uint32_t device)
{
    ME_REG(ME_UDMA_RESETS_OFF) = 1u << device;
    ME_REG(ME_UDMA_CLOCKS_ON) = 1u << device;
}

/* Enables an event of the SoC for the fabric controller, or disables it. */
static inline void me_event_hear(uint32_t event) { ME_REG(0x1A106098u) = event; }
static inline void me_event_ignore(uint32_t event) { ME_REG(0x1A106094u) = event; }

/* Timers. */
enum { ME_TIMER_CONFIG = 0, ME_TIMER_COUNT = 8, ME_TIMER_COMPARE = 0x10 };
enum {
    ME_TIMER_BEGIN = 3,
    ME_TIMER_INTERRUPT = 4,
    ME_TIMER_AGAIN = 16
}; /* from 0 on; starts again at a match */

/* Time and clock (port_gap9_clock.c). */
void me_port_open_clock(void);

/* Front end: pins and SPI (port_gap9_front_end.c). Line: UART (port_gap9_line.c). */
void me_port_open_front_end(void);
void me_port_open_line(void);

/* Called in interrupts: an event of the SoC, an edge of a pin. */
void me_port_front_end_event(uint32_t event);
void me_port_line_event(uint32_t event);
void me_port_edge(void);

#endif
