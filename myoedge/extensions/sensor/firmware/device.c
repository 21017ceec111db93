/* SPDX-License-Identifier: Apache-2.0
 * Any device that sends a fixed number of bytes per sample, by SPI or UART: a header, then a signed
 * count per channel, most significant byte first. It needs no commands and cannot be checked.
 */
#include "front_end.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

#define RESET_US 1000u
#define COUNT_BYTES ((ME_COUNT_BITS + 7) / 8)
#define UNUSED_BITS (32 - ME_COUNT_BITS)

bool me_front_end_start(void)
{
    (void)me_sensor_reset_front_end(RESET_US); /* a device without the pin needs no reset */
    if (me_port_has_pin(ME_PIN_START))
        me_port_pin(ME_PIN_START, true);
    return true;
}

bool me_front_end_is_intact(void) { return true; }

bool me_front_end_decode(const uint8_t *raw, int32_t *counts, uint64_t *open)
{
    *open = 0;
    raw += ME_HEADER_BYTES;
    for (uint32_t channel = 0; channel < ME_CHANNELS; channel++) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < COUNT_BYTES; i++)
            bits = bits << 8 | *raw++;
        counts[channel] = (int32_t)(bits << UNUSED_BITS) >> UNUSED_BITS; /* sign extension */
    }
    return true;
}
