/* SPDX-License-Identifier: Apache-2.0
 * The sensor application: samples of a front end in, decisions of the network out.
 *   data-ready interrupt -> SPI by DMA (data_ready.c), or messages of a UART (uart_samples.c) -> the
 *   interrupt at the end checks, counts and quantises the sample into a ring of samples
 *   (acquisition.c, samples.c) -> the main loop copies windows or frames, runs the
 *   network on the cluster, and sends packets (sensor.c, transmit.c)
 * A window never contains a sample that was not measured: after a lost one, the next window (the
 * next frame of a stream, which is reset) starts with the first sample after it.
 */
#ifndef ME_SENSOR_H
#define ME_SENSOR_H

#include <stdbool.h>
#include <stdint.h>

/* Starts port and front end, then works until power-off. Returns if the port cannot start. */
void me_sensor_run(void);

/* The two parts of me_sensor_run: the start, -> whether the port has started; one iteration of the main
 * loop. */
bool me_sensor_open(void);
void me_sensor_turn(void);

/* Waits while interrupts are handled. */
void me_sensor_wait(uint32_t us);

/* Holds the front end's reset pin low for this time, then waits for the same time. -> whether the pin is
 * wired */
bool me_sensor_reset_front_end(uint32_t us);

/* ---- called in the port's interrupts, never nested */

/* A sample is ready: an edge of the data-ready pin. */
void me_sensor_ready(void);

/* The transfer started by me_port_spi_start has ended. */
void me_sensor_sample(void);

/* The bytes of me_port_uart_start have been sent. */
void me_sensor_sent(void);

/* Bytes were received. */
void me_sensor_received(void);

#endif
