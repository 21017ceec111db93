/* SPDX-License-Identifier: Apache-2.0
 * The sensor application's port for GAP9 without an operating system. Addresses, lines and events
 * are those of the register pages of GreenWaves' gap_sdk 4.12 (ITC, SoC event unit, GPIO, uDMA, SPIM,
 * UART, timer unit, power manager, apb_soc_ctrl).
 */
#include "sensor_port.h"

#include "cluster.h"
#include "l3.h"
#include "marks.h"
#include "network.h"
#include "platform.h"
#include "registers.h"
#include "sensor.h"
#include "sensor_network.h"

/* interrupt controller and SoC events */
#define ITC 0x1A109000u
#define ITC_MASK ITC
#define ITC_EVENT (ITC + 0x24u)
#define LET_EVENT_THROUGH 0x1A106098u
enum { LINE_TIMER = 10, LINE_GPIO = 15, LINE_EVENT = 26 };
enum { SPI_END_EVENT = 80 + (int)ME_SPI };

/* timers: 0 wakes, 1 counts */
#define WAKE_TIMER 0x1A10B000u
#define CLOCK_TIMER 0x1A10B800u
enum { CONFIG = 0, COUNT = 8, COMPARE = 0x10 };
enum { RUN = 1, RESTART = 2, INTERRUPT = 4, ONCE = 32 };

/* pins */
#define PAD_FUNCTIONS 0x1A104010u /* 2 bits each */
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

/* uDMA: its linear channels, SPI and UART */
#define UDMA_CLOCKS_ON 0x1A102004u
#define UDMA_RESETS_OFF 0x1A102010u
#define SPI_BASE (0x1A102080u + 0x80u * ME_SPI)
#define UART_BASE (0x1A102280u + 0x80u * ME_SENSOR_UART)
#define CHANNEL(n) (0x1A103000u + 0x20u * (uint32_t)(n))
enum { SPI_RX, SPI_TX, SPI_COMMANDS, UART_TX }; /* channels */
enum { ADDRESS = 0x00, BYTES = 0x08, CONTROL = 0x1C, GO = 2, STOP = 16 };
enum { RX_CHANNEL = 0x00, TX_CHANNEL = 0x04, COMMAND_CHANNEL = 0x08, UART_SETUP = 0x24, SPI_CONFIG = 0x34 };

/* micro-code of the SPI */
#define SPI_CLOCK(divider) ((divider) | 1u << 8) /* idle low, data sampled at the falling edge */
#define SPI_SELECT (1u << 28 | ME_CHIP_SELECT)
#define SPI_BYTES(n) (((n) - 1u) | 7u << 16 | 2u << 21) /* words of 8 bits, four per access to L2 */
#define SPI_SEND (6u << 28)
#define SPI_RECEIVE (7u << 28)
#define SPI_BOTH (12u << 28)
#define SPI_END (9u << 28 | 1u) /* with an event */
#define DIVIDER(hz) ((ME_CLOCK_HZ / (hz) + 3u) & ~1u) /* even, and not too fast */
#define COMMAND_HZ 2000000u
#define EXCHANGE_BYTES 32u

/* watchdog, and 8 bits that survive its restart */
#define WATCHDOG_FEED 0x1A1040C8u
#define WATCHDOG_SET 0x1A1040CCu
#define WATCHDOG_ON 0x80000000u
#define WATCHDOG_PERIODS 32768u /* a second */
#define SURVIVES_READ 0x1A1040F8u
#define SURVIVES_WRITE 0x1A104104u

/* power of the cluster */
#define PICL_STATUS 0x1A107000u
#define PICL_BUSY 1u
#define PICL_ACCESS 0x10000800u
enum { CLUSTER_ON = 0, CLUSTER_OFF = 6 };
#define RISE_US 150u /* from off to on, and a margin: assumed, no document says it */
#define WORTH_OFF_US 5000u /* to start the cluster anew, with cold caches, takes a part of that */

extern void me_vectors(void);

static me_platform here; /* me_here is in L1, which is lost with the cluster's power */
static enum { ON, RISING, OFF } cluster;
static uint32_t restarts;
static volatile bool is_exchanging;

/* ---- interrupts */

/* For C outside of handlers; within one they are off, and nobody calls this. */
void me_port_interrupts(bool on)
{
    if (on)
        __asm__ volatile("csrsi mstatus, 8" ::: "memory");
    else
        __asm__ volatile("csrci mstatus, 8" ::: "memory");
}

static void serve_event(uint32_t event)
{
    if (event == UART_TX)
        me_sensor_sent();
    else if (event == SPI_END_EVENT && is_exchanging)
        is_exchanging = false;
    else if (event == SPI_END_EVENT)
        me_sensor_sample();
}

__attribute__((interrupt)) void me_port_interrupt(void);
__attribute__((interrupt)) void me_port_interrupt(void)
{
    uint32_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    if ((cause & 31u) == LINE_EVENT)
        serve_event(ME_REG(ITC_EVENT));
    else if ((cause & 31u) == LINE_GPIO
             && (ME_REG(GPIO_BANK(ME_PIN_DATA_READY) + EDGES) & GPIO_BIT(ME_PIN_DATA_READY)))
        me_sensor_ready();
}

/* ---- time and sleep */

/* 2**32 times the microseconds of a cycle: less than 1e-7 too small. */
#define US_PER_CYCLE ((uint32_t)(4294967296000000ull / ME_CLOCK_HZ))

uint32_t me_port_us(void)
{
    static uint64_t us; /* 2**32 of it are a microsecond */
    static uint32_t last;
    uint32_t status;
    __asm__ volatile("csrrci %0, mstatus, 8" : "=r"(status)::"memory");
    const uint32_t now = ME_REG(CLOCK_TIMER + COUNT);
    us += (uint64_t)(now - last) * US_PER_CYCLE;
    last = now;
    const uint32_t found = (uint32_t)(us >> 32);
    __asm__ volatile("csrs mstatus, %0" ::"r"(status & 8u) : "memory");
    return found;
}

static void wait_for_power(void)
{
    while (ME_REG(PICL_STATUS) & PICL_BUSY)
        ;
}

/* Returns while the power rises or falls. */
static void set_cluster_power(uint32_t mode)
{
    wait_for_power();
    ME_REG(ME_PMU_ISOLATE) = mode;
    ME_REG(ME_PMU_CLUSTER) = PICL_ACCESS;
    cluster = mode == CLUSTER_ON ? RISING : OFF;
}

/* The cluster is off where that is worth it, and its power rises before the last sample of a pass.
 * -> how long to sleep at most */
static uint32_t choose_power(uint32_t us, uint32_t until_pass_us)
{
    if (cluster != OFF && until_pass_us >= WORTH_OFF_US)
        set_cluster_power(CLUSTER_OFF);
    if (cluster == OFF && until_pass_us <= RISE_US)
        set_cluster_power(CLUSTER_ON);
    if (cluster != OFF || until_pass_us - RISE_US >= us)
        return us;
    return until_pass_us - RISE_US;
}

void me_port_sleep(uint32_t us, uint32_t until_pass_us)
{
    const uint32_t most_us = choose_power(us, until_pass_us);
    ME_REG(WAKE_TIMER + COMPARE) = most_us * (ME_CLOCK_HZ / 1000000u);
    ME_REG(WAKE_TIMER + CONFIG) = RUN | RESTART | INTERRUPT | ONCE;
    __asm__ volatile("wfi" ::: "memory");
    ME_REG(WAKE_TIMER + CONFIG) = 0;
}

/* ---- watchdog */

void me_port_watchdog_feed(void) { ME_REG(WATCHDOG_FEED) = 1; }

uint32_t me_port_watchdog_restarts(void) { return restarts; }

static void start_watchdog(void)
{
    restarts = ME_REG(SURVIVES_READ) & 0xFFu;
    ME_REG(SURVIVES_WRITE) = restarts < 0xFFu ? restarts + 1 : restarts;
    ME_REG(WATCHDOG_SET) = WATCHDOG_ON | WATCHDOG_PERIODS;
}

/* ---- pins */

static int32_t number_of(me_pin pin) { return pin == ME_PIN_START ? ME_PIN_OF_START : ME_PIN_OF_RESET; }

bool me_port_has_pin(me_pin pin) { return number_of(pin) >= 0; }

void me_port_pin(me_pin pin, bool high)
{
    const int32_t number = number_of(pin);
    if (number >= 0)
        ME_REG(GPIO_BANK(number) + (high ? SET_HIGH : SET_LOW)) = GPIO_BIT(number);
}

/* Function 1 of a pad. */
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

/* Data-ready goes low; type 0 of the edge is falling. */
static void open_data_ready(void)
{
    const uint32_t bank = GPIO_BANK(ME_PIN_DATA_READY), bit = GPIO_BIT(ME_PIN_DATA_READY);
    make_gpio(ME_PIN_DATA_READY);
    const uint32_t type = bank + EDGE_TYPE + 4u * (ME_PIN_DATA_READY % 32 / 16);
    ME_REG(bank + ENABLE) |= bit;
    ME_REG(type) &= ~(3u << 2 * (ME_PIN_DATA_READY % 16));
    ME_REG(bank + EDGE_ON) |= bit;
}

/* ---- SPI and UART */

static void start_channel(uint32_t channel, const void *bytes, uint32_t count)
{
    __asm__ volatile("" ::: "memory"); /* the bytes are in memory */
    ME_REG(CHANNEL(channel) + ADDRESS) = (uint32_t)(uintptr_t)bytes;
    ME_REG(CHANNEL(channel) + BYTES) = count;
    ME_REG(CHANNEL(channel) + CONTROL) = GO;
}

static void open_devices(void)
{
    const uint32_t devices = 1u << ME_SPI | 1u << (4 + ME_SENSOR_UART);
    const uint32_t divider = (ME_CLOCK_HZ + ME_SENSOR_BAUD_RATE / 2) / ME_SENSOR_BAUD_RATE - 1;
    ME_REG(UDMA_RESETS_OFF) = devices;
    ME_REG(UDMA_CLOCKS_ON) = devices;
    ME_REG(SPI_BASE + RX_CHANNEL) = SPI_RX;
    ME_REG(SPI_BASE + TX_CHANNEL) = SPI_TX;
    ME_REG(SPI_BASE + COMMAND_CHANNEL) = SPI_COMMANDS;
    ME_REG(SPI_BASE + SPI_CONFIG) = 0; /* master */
    ME_REG(UART_BASE + TX_CHANNEL) = UART_TX;
    ME_REG(UART_BASE + UART_SETUP) = divider << 16 | 1u << 8 | 3u << 1; /* transmits 8 bits */
    ME_REG(LET_EVENT_THROUGH) = SPI_END_EVENT;
    ME_REG(LET_EVENT_THROUGH) = UART_TX;
}

void me_port_spi_start(uint8_t *rx, uint32_t bytes)
{
    static uint32_t commands[4] = { SPI_CLOCK(DIVIDER(ME_SPI_HZ)), SPI_SELECT, 0, SPI_END };
    commands[2] = SPI_RECEIVE | SPI_BYTES(bytes);
    start_channel(SPI_RX, rx, bytes);
    start_channel(SPI_COMMANDS, commands, sizeof commands);
}

void me_port_spi_stop(void)
{
    for (uint32_t channel = SPI_RX; channel <= SPI_COMMANDS; channel++)
        ME_REG(CHANNEL(channel) + CONTROL) = STOP;
}

/* The interrupt at the end is waited for asleep; if none comes, the watchdog restarts all. */
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
        start_channel(SPI_RX, received, bytes);
    start_channel(SPI_TX, sent, bytes);
    start_channel(SPI_COMMANDS, commands, sizeof commands);
    wait_for_exchange();
    for (uint32_t i = 0; rx && i < bytes; i++)
        rx[i] = received[i];
}

void me_port_uart_start(const uint8_t *bytes, uint32_t count) { start_channel(UART_TX, bytes, count); }

/* ---- start, and the network */

bool me_port_open(void)
{
    here = me_here;
    ME_REG(CLOCK_TIMER + CONFIG) = RUN | RESTART;
    start_watchdog();
    open_output(ME_PIN_START, false);
    open_output(ME_PIN_RESET, true);
    open_data_ready();
    open_devices();
    __asm__ volatile("csrw mtvec, %0" ::"r"(me_vectors));
    ME_REG(ITC_MASK) = 1u << LINE_TIMER | 1u << LINE_GPIO | 1u << LINE_EVENT;
    return true;
}

static const void *const *network_in;
static void *const *network_out;

static void infer(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE)
        me_mark(-1);
    me_run(network_in, network_out);
}

int me_port_run(const void *const in[], void *const out[])
{
    if (cluster == OFF)
        set_cluster_power(CLUSTER_ON);
    if (cluster == RISING) {
        wait_for_power();
        me_here = here;
        me_l3_open();
        me_cluster_start();
        cluster = ON;
    }
    network_in = in;
    network_out = out;
    me_cluster_run(infer, 0);
    return 0;
}
