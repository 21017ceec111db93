/* SPDX-License-Identifier: Apache-2.0
 * MLPerf Tiny over the serial line of the GAP SDK application.
 */
#ifdef ME_UART
#include "serve.h"

#include <string.h>

#include "line.h"
#include "mlperf.h"
#include "port.h"

int32_t me_line_character(void)
{
    static PI_L2 uint8_t byte; /* the uDMA needs L2 */
    me_line_read(&byte, sizeof byte);
    return byte;
}

void me_line_write(const char *text, uint32_t bytes)
{
    static PI_L2 uint8_t piece[64];
    for (uint32_t count; bytes > 0; text += count, bytes -= count) {
        count = bytes < sizeof piece ? bytes : (uint32_t)sizeof piece;
        memcpy(piece, text, count);
        me_line_send(piece, count);
    }
}

/* The SDK's microseconds have 32 bits. */
uint64_t me_line_us(void)
{
    static uint64_t us;
    static uint32_t last;
    const uint32_t now = (uint32_t)pi_time_get_us();
    us += now - last;
    last = now;
    return us;
}

bool me_serve(void)
{
    if (!me_line_open(ME_BAUD_RATE))
        return false;
    me_mlperf_serve();
    return true;
}
#endif
