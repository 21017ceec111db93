/* SPDX-License-Identifier: Apache-2.0
 * The sensor application's port for the GAP SDK 4.12, by pi_spi, pi_gpio, pi_uart and tasks that run
 * in interrupts. The cluster stays on between passes; a restart by the watchdog is not told apart.
 */
#ifdef ME_UART
#ifndef ME_SDK_4
#error "the sensor application is for SDK 4.12, whose headers are public: build with ME_SDK_4"
#endif
#include "sensor_port.h"

#include "port.h"
#include "pmsis/drivers/watchdog.h"

#include "sensor.h"
#include "sensor_network.h"
#include "serve.h"

#define COMMAND_HZ 2000000
#define EXCHANGE_BYTES 32u
#define ALARM_US 10000u     /* maximum duration of a sleep */
#define SHORTEST_US 1000u   /* shorter sleeps are busy waits */
#define WATCHDOG_TICKS 32768u /* timeout of the watchdog: one second */
#define BITS(bytes) (8u * (bytes))

static struct pi_device line, pins[3];
static pi_task_t sent, alarm, awake;
static volatile bool sends; /* until `sent` */
static volatile bool is_asleep;
static int before; /* whether interrupts were switched off */

void me_port_interrupts(bool on)
{
    if (on)
        restore_irq(before);
    else
        before = disable_irq();
}

static void wake(void)
{
    if (is_asleep)
        pi_task_push(&awake);
    is_asleep = false;
}

/* ---- functions that interrupts call */

static void on_sent(void *unused)
{
    (void)unused;
    sends = false;
    me_sensor_sent();
    wake();
}

static void on_alarm(void *unused)
{
    (void)unused;
    wake();
    pi_task_push_delayed_us(pi_task_irq_callback(&alarm, on_alarm, 0), ALARM_US);
}

/* ---- time and sleep */

uint32_t me_port_us(void) { return (uint32_t)pi_time_get_us(); }

/* An event between the caller's check and the wait has already pushed the task: the wait then ends at
 * once. */
void me_port_sleep(uint32_t us, uint32_t until_pass_us)
{
    (void)until_pass_us;
    if (us < SHORTEST_US) {
        me_port_interrupts(true);
        pi_time_wait_us((int)us);
    } else {
        pi_task_block(&awake);
        is_asleep = true;
        me_port_interrupts(true);
        pi_task_wait_on(&awake);
    }
    me_port_interrupts(false);
}

void me_port_watchdog_feed(void) { pi_watchdog_timer_rearm(); }

uint32_t me_port_watchdog_restarts(void) { return 0; }

/* ---- pins; their enumerated names are equally spaced (port.h) */

static int32_t number_of(me_pin pin) { return pin == ME_PIN_START ? ME_PIN_OF_START : ME_PIN_OF_RESET; }

bool me_port_has_pin(me_pin pin) { return number_of(pin) >= 0; }

static struct pi_device *bank_of(uint32_t pin) { return &pins[pin / 32]; }

void me_port_pin(me_pin pin, bool high)
{
    const uint32_t number = (uint32_t)number_of(pin);
    pi_gpio_pin_write(bank_of(number), (uint32_t)me_gpio_of(number), high);
}

static bool open_bank(uint32_t bank)
{
    static struct pi_gpio_conf conf[3];
    pi_gpio_conf_init(&conf[bank]);
    conf[bank].port = (int32_t)bank;
    pi_open_from_conf(&pins[bank], &conf[bank]);
    return pi_gpio_open(&pins[bank]) == 0;
}

static void open_output(me_pin pin, bool high)
{
    if (!me_port_has_pin(pin))
        return;
    const uint32_t number = (uint32_t)number_of(pin);
    pi_pad_set_function((pi_pad_e)((uint32_t)PI_PAD_000 + number), PI_PAD_FUNC1);
    pi_gpio_pin_configure(bank_of(number), me_gpio_of(number), PI_GPIO_OUTPUT);
    me_port_pin(pin, high);
}

/* ---- SPI */

#ifdef ME_SPI
static struct pi_device commands, samples;
static pi_task_t sampled;
static pi_gpio_callback_t data_ready;

static void on_data_ready(void *unused)
{
    (void)unused;
    me_sensor_ready();
    wake();
}

static void on_sample(void *unused)
{
    (void)unused;
    me_sensor_sample();
    wake();
}

static void open_data_ready(void)
{
    const uint32_t number = ME_PIN_DATA_READY;
    pi_pad_set_function((pi_pad_e)((uint32_t)PI_PAD_000 + number), PI_PAD_FUNC1);
    pi_gpio_pin_configure(bank_of(number), me_gpio_of(number), PI_GPIO_INPUT);
    pi_gpio_pin_notif_configure(bank_of(number), (uint32_t)me_gpio_of(number), PI_GPIO_NOTIF_FALL);
    pi_gpio_callback_init(&data_ready, 1u << number % 32, on_data_ready, 0);
    pi_gpio_callback_add(bank_of(number), &data_ready);
}

static bool open_spi(struct pi_device *device, struct pi_spi_conf *conf, int32_t hz)
{
    pi_spi_conf_init(conf);
    conf->max_baudrate = hz;
    conf->wordsize = PI_SPI_WORDSIZE_8;
    conf->polarity = PI_SPI_POLARITY_0;
    conf->phase = PI_SPI_PHASE_1;
    conf->itf = ME_SPI;
    conf->cs = ME_CHIP_SELECT;
    pi_open_from_conf(device, conf);
    return pi_spi_open(device) == 0;
}

void me_port_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes)
{
    static PI_L2 uint8_t to[EXCHANGE_BYTES], from[EXCHANGE_BYTES];
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = tx[i];
    if (rx)
        pi_spi_transfer(&commands, to, from, BITS(bytes), PI_SPI_CS_AUTO);
    else
        pi_spi_send(&commands, to, BITS(bytes), PI_SPI_CS_AUTO);
    for (uint32_t i = 0; rx && i < bytes; i++)
        rx[i] = from[i];
}

void me_port_spi_start(uint8_t *rx, uint32_t bytes)
{
    pi_task_irq_callback(&sampled, on_sample, 0);
    pi_spi_receive_async(&samples, rx, BITS(bytes), PI_SPI_CS_AUTO, &sampled);
}

/* The driver cannot stop a transfer; if it hangs, the watchdog restarts the chip. */
void me_port_spi_stop(void) {}

static bool open_source(void)
{
    static struct pi_spi_conf slow, fast;
    open_data_ready();
    return open_spi(&commands, &slow, COMMAND_HZ) && open_spi(&samples, &fast, ME_SPI_HZ);
}
#endif

/* ---- line */

static bool open_line(void)
{
    static struct pi_uart_conf conf;
    pi_uart_conf_init(&conf);
    conf.uart_id = ME_SENSOR_UART;
    conf.baudrate_bps = ME_SENSOR_BAUD_RATE;
    conf.enable_tx = 1;
#ifdef ME_LINE_RECEIVES
    conf.enable_rx = 1;
#endif
    pi_open_from_conf(&line, &conf);
    return pi_uart_open(&line) == 0;
}

#ifdef ME_LINE_RECEIVES
static PI_L2 uint8_t byte;
static uint8_t ring[256];
static volatile uint32_t filled, taken;
static pi_task_t received;

static void on_byte(void *unused)
{
    (void)unused;
    ring[filled % sizeof ring] = byte;
    filled++;
    pi_uart_read_async(&line, &byte, 1, pi_task_irq_callback(&received, on_byte, 0));
    me_sensor_received();
    wake();
}

static void start_receiver(void)
{
    pi_uart_read_async(&line, &byte, 1, pi_task_irq_callback(&received, on_byte, 0));
}

uint32_t me_port_uart_receive(uint8_t *bytes, uint32_t most)
{
    uint32_t count = 0;
    while (taken != filled && count < most)
        bytes[count++] = ring[taken++ % sizeof ring];
    return count;
}
#endif

bool me_port_uart_sends(void) { return sends; }

void me_port_uart_start(const uint8_t *bytes, uint32_t count)
{
    sends = true;
    pi_task_irq_callback(&sent, on_sent, 0);
    pi_uart_write_async(&line, (void *)(uintptr_t)bytes, count, &sent);
}

/* ---- start, and the network */

#if ME_WAITING > 1
/* By the dividers alone: pi_freq_set would make both clock generators lock anew, and sets their multiplier
 * before the divider: meanwhile the clock could exceed what the voltage allows. Time and peripherals have clocks
 * of their own. */
#define OF_CORES 0x00FFFF00u

static uint32_t fast; /* the dividers during a pass */

static uint32_t divider(uint32_t clock) { return fast >> 8 * clock & 0xFFu ? fast >> 8 * clock & 0xFFu : 1u; }

void me_port_pass(bool begins)
{
    const uint32_t slow = divider(1) * ME_WAITING << 8 | divider(2) * ME_WAITING << 16;
    ME_CLOCK_DIVIDERS = (fast & ~OF_CORES) | (begins ? fast & OF_CORES : slow);
}

static void open_clock(void)
{
    fast = ME_CLOCK_DIVIDERS;
    me_port_pass(false);
}
#else
void me_port_pass(bool begins) { (void)begins; }

static void open_clock(void) {}
#endif

bool me_port_open(void)
{
    me_port_interrupts(false);
    for (uint32_t bank = 0; bank < 3; bank++)
        if (!open_bank(bank))
            return false;
    if (!open_line())
        return false;
    open_output(ME_PIN_START, false);
    open_output(ME_PIN_RESET, true);
#ifdef ME_SPI
    if (!open_source())
        return false;
#endif
#ifdef ME_LINE_RECEIVES
    start_receiver();
#endif
    on_alarm(0);
    open_clock();
    pi_watchdog_timer_set(WATCHDOG_TICKS);
    pi_watchdog_start();
    return true;
}

int me_port_run(const void *const in[], void *const out[]) { return me_cluster_pass(in, out); }

bool me_serve(void)
{
    me_sensor_run();
    return false;
}
#endif
