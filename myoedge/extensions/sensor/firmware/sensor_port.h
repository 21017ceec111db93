/* SPDX-License-Identifier: Apache-2.0
 * What the sensor application needs of a chip and its drivers. Two implementations: port_gap9.c for
 * the bare chip and its simulators, port_sdk.c for the GAP SDK.
 */
#ifndef ME_SENSOR_PORT_H
#define ME_SENSOR_PORT_H

#include <stdbool.h>
#include <stdint.h>

/* Starts clock, pins, SPI, UART, timer and watchdog; interrupts stay off. -> false if a device is missing */
bool me_port_open(void);

/* ---- time and sleep */

/* Microseconds since the start, modulo 2**32. */
uint32_t me_port_us(void);

/* While interrupts are off, no function of sensor.h is called in an interrupt. */
void me_port_interrupts(bool on);

/* With interrupts off: sleeps until one is pending, at most `us`. The port chooses the depth of sleep by the
 * time until the last sample of the network's next pass. */
void me_port_sleep(uint32_t us, uint32_t until_pass_us);

/* ---- watchdog: restarts the chip one second after its last reset by me_port_watchdog_feed */

void me_port_watchdog_feed(void);

/* Restarts by the watchdog since power-on. */
uint32_t me_port_watchdog_restarts(void);

/* ---- front end; the SPI functions exist only with ME_SPI */

typedef enum { ME_PIN_START, ME_PIN_RESET } me_pin;

/* -> whether the pin is wired; the pin's level */
bool me_port_has_pin(me_pin pin);
void me_port_pin(me_pin pin, bool high);

/* Transfers this many bytes, at most 32, with chip select low, at a clock of at most 2 MHz, and returns
 * after the last one. tx or rx may be 0. */
void me_port_spi_exchange(const uint8_t *tx, uint8_t *rx, uint32_t bytes);

/* Starts to read one sample by DMA at full clock; me_sensor_sample is called at its end. */
void me_port_spi_start(uint8_t *rx, uint32_t bytes);

/* Aborts a transfer that hangs; me_sensor_sample is not called for it. */
void me_port_spi_stop(void);

/* ---- line */

/* Starts to send bytes by DMA; me_sensor_sent is called at the end. The bytes must not change until then. */
void me_port_uart_start(const uint8_t *bytes, uint32_t count);

/* Whether bytes are still to be sent: an interrupt at the end may be lost. */
bool me_port_uart_sends(void);

/* If the line receives (ME_LINE_RECEIVES): reads received bytes, at most `most`; me_sensor_received is called in
 * an interrupt when there are some. -> number of bytes */
uint32_t me_port_uart_receive(uint8_t *bytes, uint32_t most);

/* ---- network */

/* A pass begins, which needs the network's clock, or has ended: until the next one, the clock of waiting does.
 * Time and transfers go on: peripherals have a clock of their own. */
void me_port_pass(bool begins);

/* Runs me_run, on GAP9's cluster if there is one, while interrupts are served. -> 0, or negative if it failed */
int me_port_run(const void *const in[], void *const out[]);

#endif
