/* SPDX-License-Identifier: Apache-2.0 */
#ifdef ME_UART
#include "line.h"

#include "port.h"

static struct pi_device line;

bool me_line_open(uint32_t baud_rate)
{
    struct pi_uart_conf conf;
    pi_uart_conf_init(&conf);
    conf.uart_id = ME_UART;
    conf.baudrate_bps = baud_rate;
    conf.enable_rx = 1;
    conf.enable_tx = 1;
    pi_open_from_conf(&line, &conf);
    return pi_uart_open(&line) == 0;
}

void me_line_read(uint8_t *to, uint32_t bytes) { pi_uart_read(&line, to, bytes); }
void me_line_send(uint8_t *from, uint32_t bytes) { pi_uart_write(&line, from, bytes); }
#endif
