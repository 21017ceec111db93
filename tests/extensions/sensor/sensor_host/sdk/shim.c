/* SPDX-License-Identifier: Apache-2.0
 * PMSIS on port_host.c, whose functions are compiled as host_...: who calls what with which devices
 * is checked here, time and front end are those of the other tests.
 */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>

#include "pmsis/drivers/watchdog.h"
#include "sensor_network.h"
#include "serve.h"

#include "sensor_port.h"

/* Of port_host.c. */
bool host_open(void);
uint32_t host_us(void);
void host_interrupts(bool on);
void host_sleep(uint32_t us, uint32_t until_pass_us);
void host_feed(void);
void host_pin(me_pin pin, bool high);
void host_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes);
void host_spi_start(uint8_t *rx, uint32_t bytes);
uint32_t host_uart_receive(uint8_t *bytes, uint32_t most);
void host_uart_start(const uint8_t *bytes, uint32_t count);
int host_run(const void *const in[], void *const out[]);
void host_pass(bool begins);
void host_ready(void);
void host_sample(void);
void host_sent(void);
void host_received(void);

static pi_task_t *sent, *alarm;
static uint32_t alarm_us;
static bool interrupts = true, watched;

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "the SDK would not take this: %s\n", what);
    abort();
}

void pi_open_from_conf(struct pi_device *device, void *conf) { device->config = conf; }

static int opened(struct pi_device *device)
{
    check(device->config && !device->opened, "a device without its conf, or opened twice");
    return !(device->opened = 1);
}

/* ---- tasks and time */

pi_task_t *pi_task_block(pi_task_t *task)
{
    *task = (pi_task_t){ .is_waited_for = 1 };
    return task;
}

pi_task_t *pi_task_irq_callback(pi_task_t *task, pi_callback_func_t function, void *arg)
{
    *task = (pi_task_t){ .function = function, .arg = arg };
    return task;
}

void pi_task_push(pi_task_t *task)
{
    check(task->is_waited_for && !task->is_pushed, "a task that nobody waits for, or pushed twice");
    task->is_pushed = 1;
}

void pi_task_push_delayed_us(pi_task_t *task, uint32_t delay)
{
    check(!alarm, "a delayed task that is on its way");
    alarm = task;
    alarm_us = host_us() + delay;
}

static void ring(void)
{
    if (!alarm || (int32_t)(host_us() - alarm_us) < 0)
        return;
    pi_task_t *const task = alarm;
    alarm = 0;
    task->function(task->arg);
}

void pi_task_wait_on(pi_task_t *task)
{
    check(interrupts, "a wait without interrupts");
    check(me_clock_dividers == 0x04000003u + (ME_WAITING << 8) + (2u * ME_WAITING << 16),
          "a wait at another clock");
    while (!task->is_pushed) {
        host_interrupts(false);
        const int32_t left_us = (int32_t)(alarm_us - host_us());
        if (!task->is_pushed && left_us > 0)
            host_sleep((uint32_t)left_us, 0);
        host_interrupts(true);
        ring();
    }
}

int disable_irq(void)
{
    const int before = interrupts;
    interrupts = false;
    host_interrupts(false);
    return before;
}

void restore_irq(int before)
{
    interrupts = before != 0;
    host_interrupts(interrupts);
}

unsigned long long pi_time_get_us(void) { return host_us(); }

void pi_time_wait_us(int us)
{
    const uint32_t start = host_us();
    for (uint32_t passed; (passed = host_us() - start) < (uint32_t)us;) {
        host_interrupts(false);
        host_sleep((uint32_t)us - passed, 0);
        host_interrupts(true);
    }
}

void host_sent(void) { sent->function(sent->arg); }

/* ---- watchdog */

void pi_watchdog_timer_set(uint32_t ticks) { check(ticks == 32768, "a watchdog's time"); }
void pi_watchdog_start(void) { watched = true; }

void pi_watchdog_timer_rearm(void)
{
    check(watched, "a watchdog that has not started");
    host_feed();
}

/* ---- pins */

void pi_gpio_conf_init(struct pi_gpio_conf *conf) { conf->port = -1; }

int pi_gpio_open(struct pi_device *device)
{
    const struct pi_gpio_conf *conf = device->config;
    check(conf->port >= 0 && conf->port < 3, "a port that there is not");
    return opened(device);
}

void pi_pad_set_function(pi_pad_e pad, int function)
{
    check((int)pad >= 0 && (int)pad < 96 && function == PI_PAD_FUNC1, "a pad");
}

#ifdef ME_SPI
enum { DATA_READY = ME_PIN_DATA_READY };
#else
enum { DATA_READY = -1 };
#endif

static uint32_t number_of(const struct pi_device *device, uint32_t gpio)
{
    const struct pi_gpio_conf *conf = device->config;
    const uint32_t number = (gpio - PI_GPIO_A00) / (PI_GPIO_A01 - PI_GPIO_A00);
    check(device->opened && number / 32 == (uint32_t)conf->port, "a pin of another port");
    return number;
}

int pi_gpio_pin_configure(struct pi_device *device, pi_gpio_e gpio, int flags)
{
    const bool is_input = (int)number_of(device, (uint32_t)gpio) == DATA_READY;
    check(flags == (is_input ? PI_GPIO_INPUT : PI_GPIO_OUTPUT), "a pin's direction");
    return 0;
}

int pi_gpio_pin_write(struct pi_device *device, uint32_t pin, uint32_t value)
{
    const uint32_t number = number_of(device, pin);
    host_pin(number == (uint32_t)ME_PIN_OF_START ? ME_PIN_START : ME_PIN_RESET, value != 0);
    return 0;
}

/* ---- data-ready and SPI, or what the line receives */

#ifdef ME_SPI
static pi_task_t *sampled;
static pi_gpio_callback_t *edges;

void host_ready(void)
{
    check(edges != 0, "no callback");
    edges->handler(edges->args);
}

void host_sample(void) { sampled->function(sampled->arg); }

void pi_gpio_pin_notif_configure(struct pi_device *device, uint32_t pin, pi_gpio_notif_e flags)
{
    check(number_of(device, pin) == ME_PIN_DATA_READY && flags == PI_GPIO_NOTIF_FALL, "an edge");
}

void pi_gpio_callback_init(pi_gpio_callback_t *cb, uint32_t mask, pi_callback_func_t handler, void *arg)
{
    *cb = (pi_gpio_callback_t){ mask, handler, arg };
}

int pi_gpio_callback_add(struct pi_device *device, pi_gpio_callback_t *cb)
{
    check(device->opened && cb->pin_mask == 1u << ME_PIN_DATA_READY % 32, "a callback's pins");
    edges = cb;
    return 0;
}

void pi_spi_conf_init(struct pi_spi_conf *conf) { *conf = (struct pi_spi_conf){ .cs = -1, .itf = -1 }; }

int pi_spi_open(struct pi_device *device)
{
    const struct pi_spi_conf *conf = device->config;
    check(conf->itf == (int)ME_SPI && conf->cs == (int)ME_CHIP_SELECT, "another SPI or chip select");
    check(conf->phase == 1 && conf->max_baudrate > 0, "a clock");
    return opened(device);
}

static int baudrate(const struct pi_device *device)
{
    check(device->opened != 0, "a device that is not open");
    return ((const struct pi_spi_conf *)device->config)->max_baudrate;
}

void pi_spi_send(struct pi_device *device, void *data, size_t len, pi_spi_flags_e flag)
{
    check(flag == PI_SPI_CS_AUTO && baudrate(device) <= 2000000, "a command too fast");
    host_spi_exchange(data, 0, (uint32_t)len / 8);
}

void pi_spi_transfer(struct pi_device *device, void *tx, void *rx, size_t len, pi_spi_flags_e flag)
{
    check(flag == PI_SPI_CS_AUTO && baudrate(device) <= 2000000, "a command too fast");
    host_spi_exchange(tx, rx, (uint32_t)len / 8);
}

void pi_spi_receive_async(struct pi_device *device, void *data, size_t len, pi_spi_flags_e flag,
                          pi_task_t *task)
{
    check(flag == PI_SPI_CS_AUTO && baudrate(device) == (int)ME_SPI_HZ, "a sample's clock");
    sampled = task;
    host_spi_start(data, (uint32_t)len / 8);
}

#else
static pi_task_t *received;
static uint8_t *received_to;

/* A byte at a time, as each read asks for one; the next is asked for by then. */
void host_received(void)
{
    uint8_t byte;
    while (host_uart_receive(&byte, 1) > 0) {
        pi_task_t *const task = received;
        check(task != 0, "a byte that nobody reads");
        *received_to = byte;
        received = 0;
        task->function(task->arg);
    }
}

int pi_uart_read_async(struct pi_device *device, void *buffer, uint32_t size, pi_task_t *task)
{
    check(device->opened && ((struct pi_uart_conf *)device->config)->enable_rx, "a line that hears nothing");
    check(size == 1 && !received, "a second read at once");
    received_to = buffer;
    received = task;
    return 0;
}
#endif

/* ---- line */

void pi_uart_conf_init(struct pi_uart_conf *conf) { *conf = (struct pi_uart_conf){ 0 }; }

int pi_uart_open(struct pi_device *device)
{
    const struct pi_uart_conf *conf = device->config;
    check(conf->uart_id == ME_SENSOR_UART && conf->enable_tx, "another line");
    check(conf->baudrate_bps == ME_SENSOR_BAUD_RATE, "a line's rate");
    return opened(device) | !host_open();
}

int pi_uart_write_async(struct pi_device *device, void *buffer, uint32_t size, pi_task_t *task)
{
    check(device->opened != 0, "a line that is not open");
    sent = task;
    host_uart_start(buffer, size);
    return 0;
}

/* ---- network */

enum { FAST = 0x04020103 }; /* dividers of controller and cluster: 1 and 2 */
volatile uint32_t me_clock_dividers = FAST;

int me_cluster_pass(const void *const in[], void *const out[])
{
    check(me_clock_dividers == FAST, "a pass at the clock of waiting");
    host_pass(true);
    const int code = host_run(in, out);
    host_pass(false);
    return code;
}
