/* SPDX-License-Identifier: Apache-2.0
 * The device's side of MLPerf Tiny's serial protocol (v1.4), in performance and accuracy mode.
 */
#ifndef ME_MLPERF_H
#define ME_MLPERF_H

#include <stdbool.h>
#include <stdint.h>

/* Greets the host and answers its commands until the line ends. */
void me_mlperf_serve(void);

/* ---- what the platform offers */

/* Waits for the next character. -> less than 0 where the line has ended */
int32_t me_line_character(void);

/* The text is anywhere in memory. */
void me_line_write(const char *text, uint32_t bytes);

/* Microseconds since any start, rounded down; asked at least once in 11 s of measured time. */
uint64_t me_line_us(void);

/* The network once, with what lies at its input. -> false where it could not run */
bool me_infer(void);

#endif
