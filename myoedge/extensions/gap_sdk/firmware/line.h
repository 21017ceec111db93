/* SPDX-License-Identifier: Apache-2.0
 * The serial line. Bytes are in L2, because the uDMA needs it; each call returns when all bytes have been
 * transferred.
 */
#ifndef ME_LINE_H
#define ME_LINE_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the line. -> whether that succeeded */
bool me_line_open(uint32_t baud_rate);

void me_line_read(uint8_t *to, uint32_t bytes);
void me_line_send(uint8_t *from, uint32_t bytes);

#endif
