/* SPDX-License-Identifier: Apache-2.0
 * The device's side of MLPerf Tiny's serial protocol (v1.4), in performance and accuracy mode.
 */
#ifndef ME_MLPERF_H
#define ME_MLPERF_H

#include <stdbool.h>
#include <stdint.h>

/* Greets the host and answers its commands until the line closes. */
void me_mlperf_serve(void);

/* ---- provided by the platform */

/* Waits for the next character. -> negative if the line is closed */
int32_t me_line_character(void);

/* Sends text, which may be in any memory. */
void me_line_write(const char *text, uint32_t bytes);

/* Microseconds since any start, rounded down; called at least once per 11 s of measured time. */
uint64_t me_line_us(void);

/* Runs the network once on its input. -> false if it could not run */
bool me_infer(void);

#endif
