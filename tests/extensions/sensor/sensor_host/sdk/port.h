/* SPDX-License-Identifier: Apache-2.0
 * PMSIS 4.12 as far as port_sdk.c calls it, on the simulated time of port_host.c.
 */
#ifndef ME_PORT_H
#define ME_PORT_H

#include <stddef.h>
#include <stdint.h>

#define PI_L2

struct pi_device {
    void *config;
    int opened;
};
typedef void (*pi_callback_func_t)(void *);
typedef struct {
    pi_callback_func_t function;
    void *arg;
    int is_waited_for, is_pushed;
} pi_task_t;

void pi_open_from_conf(struct pi_device *device, void *conf);
pi_task_t *pi_task_block(pi_task_t *task);
pi_task_t *pi_task_irq_callback(pi_task_t *task, pi_callback_func_t function, void *arg);
void pi_task_push(pi_task_t *task);
void pi_task_push_delayed_us(pi_task_t *task, uint32_t delay);
void pi_task_wait_on(pi_task_t *task);
int disable_irq(void);
void restore_irq(int before);
unsigned long long pi_time_get_us(void);
void pi_time_wait_us(int us);

extern volatile uint32_t me_clock_dividers; /* a byte each: peripherals, controller, cluster, SFU */
#define ME_CLOCK_DIVIDERS me_clock_dividers

typedef enum { PI_PAD_000 } pi_pad_e;
typedef enum { PI_GPIO_A00 = 1000, PI_GPIO_A01 = 1007 } pi_gpio_e;
typedef enum { PI_GPIO_NOTIF_FALL } pi_gpio_notif_e;
enum { PI_PAD_FUNC1 = 1, PI_GPIO_INPUT = 0, PI_GPIO_OUTPUT = 4 };
struct pi_gpio_conf {
    int32_t port;
};
typedef struct {
    uint32_t pin_mask;
    pi_callback_func_t handler;
    void *args;
} pi_gpio_callback_t;
void pi_gpio_conf_init(struct pi_gpio_conf *conf);
int pi_gpio_open(struct pi_device *device);
void pi_pad_set_function(pi_pad_e pad, int function);
int pi_gpio_pin_configure(struct pi_device *device, pi_gpio_e gpio, int flags);
int pi_gpio_pin_write(struct pi_device *device, uint32_t pin, uint32_t value);
void pi_gpio_pin_notif_configure(struct pi_device *device, uint32_t pin, pi_gpio_notif_e flags);
void pi_gpio_callback_init(pi_gpio_callback_t *cb, uint32_t mask, pi_callback_func_t handler, void *arg);
int pi_gpio_callback_add(struct pi_device *device, pi_gpio_callback_t *cb);

static inline pi_gpio_e me_gpio_of(uint32_t pad)
{
    const uint32_t first = (uint32_t)PI_GPIO_A00;
    return (pi_gpio_e)(first + pad * ((uint32_t)PI_GPIO_A01 - first));
}

typedef enum { PI_SPI_CS_AUTO } pi_spi_flags_e;
enum { PI_SPI_WORDSIZE_8, PI_SPI_POLARITY_0 = 0, PI_SPI_PHASE_1 = 1 };
struct pi_spi_conf {
    int max_baudrate;
    char wordsize;
    int polarity, phase;
    signed char cs, itf;
};
void pi_spi_conf_init(struct pi_spi_conf *conf);
int pi_spi_open(struct pi_device *device);
void pi_spi_send(struct pi_device *device, void *data, size_t len, pi_spi_flags_e flag);
void pi_spi_transfer(struct pi_device *device, void *tx, void *rx, size_t len, pi_spi_flags_e flag);
void pi_spi_receive_async(struct pi_device *device, void *data, size_t len, pi_spi_flags_e flag,
                          pi_task_t *task);

struct pi_uart_conf {
    uint32_t baudrate_bps;
    uint8_t uart_id, enable_rx, enable_tx;
};
void pi_uart_conf_init(struct pi_uart_conf *conf);
int pi_uart_open(struct pi_device *device);
int pi_uart_read_async(struct pi_device *device, void *buffer, uint32_t size, pi_task_t *task);
int pi_uart_write_async(struct pi_device *device, void *buffer, uint32_t size, pi_task_t *task);

#endif
