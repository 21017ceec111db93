/* SPDX-License-Identifier: Apache-2.0
 * The bare chip's port to the front end: its pins, and its SPI unless it is on the line.
 */
#include "port_gap9.h"

#include "clock.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

/* pins */
#define PAD_FUNCTIONS 0x1A104010u /* edge type, 2 bits per pin */
#define GPIO_BANK(pin) (0x1A101000u + 0x48u * ((uint32_t)(pin) / 32u))
#define GPIO_BIT(pin) (1u << (uint32_t)(pin) % 32u)
enum {
    DIRECTION = 0x00,
    ENABLE = 0x04,
    SET_HIGH = 0x10,
    SET_LOW = 0x14,
    EDGE_ON = 0x18,
    EDGE_TYPE = 0x1C,
    EDGES = 0x24
};

/* ---- pins */

static int32_t number_of(me_pin pin) { return pin == ME_PIN_START ? ME_PIN_OF_START : ME_PIN_OF_RESET; }

bool me_port_has_pin(me_pin pin) { return number_of(pin) >= 0; }

void me_port_pin(me_pin pin, bool high)
{
    const int32_t number = number_of(pin);
    if (number >= 0)
        ME_REG(GPIO_BANK(number) + (high ? SET_HIGH : SET_LOW)) = GPIO_BIT(number);
}

/* Selects function 1 of a pad. */
static void make_gpio(uint32_t pin)
{
    const uint32_t pads = PAD_FUNCTIONS + 4u * (pin / 16u), at = 2u * (pin % 16u);
    ME_REG(pads) = (ME_REG(pads) & ~(3u << at)) | 1u << at;
}

static void open_output(me_pin pin, bool high)
{
    const int32_t number = number_of(pin);
    if (number < 0)
        return;
    make_gpio((uint32_t)number);
    ME_REG(GPIO_BANK(number) + ENABLE) |= GPIO_BIT(number);
    me_port_pin(pin, high);
    ME_REG(GPIO_BANK(number) + DIRECTION) |= GPIO_BIT(number);
}

#ifdef ME_SPI
/* Data-ready is active low: edge type 0 is falling. */
static void open_data_ready(void)
{
    const uint32_t bank = GPIO_BANK(ME_PIN_DATA_READY), bit = GPIO_BIT(ME_PIN_DATA_READY);
    make_gpio(ME_PIN_DATA_READY);
    const uint32_t type = bank + EDGE_TYPE + 4u * (ME_PIN_DATA_READY % 32 / 16);
    ME_REG(bank + ENABLE) |= bit;
    ME_REG(type) &= ~(3u << 2 * (ME_PIN_DATA_READY % 16));
    ME_REG(bank + EDGE_ON) |= bit;
}

/* ---- SPI */

#define SPI_BASE (0x1A102080u + 0x80u * ME_SPI)
enum { RX_CHANNEL = 0x00, TX_CHANNEL = 0x04, COMMAND_CHANNEL = 0x08, SPI_CONFIG = 0x34 };
enum { SPI_END_EVENT = 80 + (int)ME_SPI };

/* micro-code of the SPI */
#define SPI_CLOCK(divider) ((divider) | 1u << 8) /* idle low, data sampled at the falling edge */
#define SPI_SELECT (1u << 28 | ME_CHIP_SELECT)
#define SPI_BYTES(n) (((n) - 1u) | 7u << 16 | 2u << 21) /* words of 8 bits, four per access to L2 */
#define SPI_SEND (6u << 28)
#define SPI_RECEIVE (7u << 28)
#define SPI_BOTH (12u << 28)
#define SPI_END (9u << 28 | 1u) /* raises an event at the end */
/* divider: the least even one that is not above the maximum clock */
#define DIVIDER(hz) (((ME_PERIPH_HZ + (hz) - 1u) / (hz) + 1u) & ~1u)
#define COMMAND_HZ 2000000u
#define EXCHANGE_BYTES 32u

static volatile bool is_exchanging;

static void open_spi(void)
{
    me_device_open(ME_SPI);
    ME_REG(SPI_BASE + RX_CHANNEL) = ME_CHANNEL_SPI_RX;
    ME_REG(SPI_BASE + TX_CHANNEL) = ME_CHANNEL_SPI_TX;
    ME_REG(SPI_BASE + COMMAND_CHANNEL) = ME_CHANNEL_SPI_COMMANDS;
    ME_REG(SPI_BASE + SPI_CONFIG) = 0; /* master */
    me_event_hear(SPI_END_EVENT);
}

void me_port_spi_start(uint8_t *rx, uint32_t bytes)
{
    static uint32_t commands[4] = { SPI_CLOCK(DIVIDER(ME_SPI_HZ)), SPI_SELECT, 0, SPI_END };
    commands[2] = SPI_RECEIVE | SPI_BYTES(bytes);
    me_channel_start(ME_CHANNEL_SPI_RX, rx, bytes);
    me_channel_start(ME_CHANNEL_SPI_COMMANDS, commands, sizeof commands);
}

void me_port_spi_stop(void)
{
    for (uint32_t channel = ME_CHANNEL_SPI_RX; channel <= ME_CHANNEL_SPI_COMMANDS; channel++)
        ME_REG(ME_CHANNEL(channel) + ME_CHANNEL_CONTROL) = ME_CHANNEL_STOP;
}

/* Sleeps until the interrupt at the end; if it does not come, the watchdog restarts the chip. */
static void wait_for_exchange(void)
{
    me_port_interrupts(false);
    while (is_exchanging) {
        __asm__ volatile("wfi" ::: "memory");
        me_port_interrupts(true);
        me_port_interrupts(false);
    }
    me_port_interrupts(true);
}

void me_port_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes)
{
    static uint8_t sent[EXCHANGE_BYTES], received[EXCHANGE_BYTES];
    static uint32_t commands[4] = { SPI_CLOCK(DIVIDER(COMMAND_HZ)), SPI_SELECT, 0, SPI_END };
    for (uint32_t i = 0; i < bytes; i++)
        sent[i] = tx[i];
    commands[2] = (rx ? SPI_BOTH : SPI_SEND) | SPI_BYTES(bytes);
    is_exchanging = true;
    if (rx)
        me_channel_start(ME_CHANNEL_SPI_RX, received, bytes);
    me_channel_start(ME_CHANNEL_SPI_TX, sent, bytes);
    me_channel_start(ME_CHANNEL_SPI_COMMANDS, commands, sizeof commands);
    wait_for_exchange();
    for (uint32_t i = 0; rx && i < bytes; i++)
        rx[i] = received[i];
}

void me_port_front_end_event(uint32_t event)
{
    if (event == SPI_END_EVENT && is_exchanging)
        is_exchanging = false;
    else if (event == SPI_END_EVENT)
        me_sensor_sample();
}

void me_port_edge(void)
{
    if (ME_REG(GPIO_BANK(ME_PIN_DATA_READY) + EDGES) & GPIO_BIT(ME_PIN_DATA_READY))
        me_sensor_ready();
}
#else
void me_port_front_end_event(uint32_t event) { (void)event; }
void me_port_edge(void) {}
#endif

void me_port_open_front_end(void)
{
    open_output(ME_PIN_START, false);
    open_output(ME_PIN_RESET, true);
#ifdef ME_SPI
    open_data_ready();
    open_spi();
#endif
}
