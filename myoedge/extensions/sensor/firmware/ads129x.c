/* SPDX-License-Identifier: Apache-2.0
 * ADS1298 and ADS1299 (data sheets SBAS459, SBAS499), one or several in a daisy chain with common
 * chip select, data-ready of the first. Registers can be read of the first chip only.
 */
#include "front_end.h"
#include "sensor.h"
#include "sensor_network.h"
#include "sensor_port.h"

enum { RESET = 0x06, START = 0x08, RDATAC = 0x10, SDATAC = 0x11, READ = 0x20, WRITE = 0x40 };
enum { ID = 0x00, CONFIG1 = 0x01, CONFIG4 = 0x17 };
enum { IDENTITY_BITS = 0x1F, CONFIG3_AT = 2, READ_ONLY = 0x01 }; /* a read-only status bit of CONFIG3 */
enum { SETTINGS = 17 };                                          /* registers CONFIG1 to LOFF_FLIP */
enum { STATUS_BYTES = 3, COUNT_BYTES = 3, CHIP_CHANNELS = 8, CHIP_BYTES = 27, STATUS_START = 0xC };

#define POWER_UP_US 150000u /* time from power-up to the first command: at least 2**18 cycles of 2.048 MHz */
#define REFERENCE_US 150000u /* settling time of the internal reference */
#define RESET_US 20u /* after a reset: 18 cycles of 2.048 MHz; pulse width: 2 cycles */

static const uint8_t settings[SETTINGS] = ME_ADS_SETTINGS;
static const uint8_t comparators_on = 0x02; /* CONFIG4: lead-off comparators */

static void command(uint8_t code) { me_port_spi_exchange(&code, 0, 1); }

static void write_registers(uint8_t first, const uint8_t *values, uint32_t count)
{
    uint8_t bytes[2 + SETTINGS] = { (uint8_t)(WRITE | first), (uint8_t)(count - 1) };
    for (uint32_t i = 0; i < count; i++)
        bytes[2 + i] = values[i];
    me_port_spi_exchange(bytes, 0, 2 + count);
}

static void read_registers(uint8_t first, uint8_t *values, uint32_t count)
{
    const uint8_t asked[2 + SETTINGS] = { (uint8_t)(READ | first), (uint8_t)(count - 1) };
    uint8_t bytes[2 + SETTINGS];
    me_port_spi_exchange(asked, bytes, 2 + count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = bytes[2 + i];
}

static bool has_settings(void)
{
    uint8_t found[SETTINGS], config4;
    read_registers(CONFIG1, found, SETTINGS);
    read_registers(CONFIG4, &config4, 1);
    for (uint32_t i = 0; i < SETTINGS; i++)
        if ((found[i] ^ settings[i]) & ~(i == CONFIG3_AT ? READ_ONLY : 0))
            return false;
    return config4 == comparators_on;
}

static bool is_of_its_kind(void)
{
    uint8_t identity;
    read_registers(ID, &identity, 1);
    return (identity & IDENTITY_BITS) == ME_ADS_IDENTITY;
}

static void reset(void)
{
    if (!me_sensor_reset_front_end(RESET_US)) {
        command(RESET);
        me_sensor_wait(RESET_US);
    }
    command(SDATAC); /* after a reset the chip sends samples, and takes no other command */
}

static void start_conversions(void)
{
    if (me_port_has_pin(ME_PIN_START))
        me_port_pin(ME_PIN_START, true);
    else
        command(START);
    command(RDATAC);
}

bool me_front_end_start(void)
{
    static bool powered;
    if (me_port_has_pin(ME_PIN_START))
        me_port_pin(ME_PIN_START, false);
    if (!powered)
        me_sensor_wait(POWER_UP_US);
    powered = true;
    reset();
    if (!is_of_its_kind())
        return false;
    write_registers(CONFIG1, settings, SETTINGS);
    write_registers(CONFIG4, &comparators_on, 1);
    me_sensor_wait(REFERENCE_US);
    if (!has_settings())
        return false;
    start_conversions();
    return true;
}

bool me_front_end_is_intact(void)
{
    command(SDATAC);
    const bool intact = has_settings();
    if (intact)
        command(RDATAC);
    return intact;
}

/* Reads 24 bits, most significant byte first. */
static int32_t count_of(const uint8_t *raw)
{
    const uint32_t bits = (uint32_t)raw[0] << 16 | (uint32_t)raw[1] << 8 | raw[2];
    return (int32_t)(bits ^ 0x800000u) - 0x800000;
}

/* Status word: 1100, 8 bits for the positive electrodes, 8 for the negative ones, 4 for GPIO. */
static uint32_t open_of(const uint8_t *raw)
{
    const uint32_t status = (uint32_t)raw[0] << 16 | (uint32_t)raw[1] << 8 | raw[2];
    return (status >> 12 | status >> 4) & 0xFFu;
}

bool me_front_end_decode(const uint8_t *raw, int32_t *counts, uint64_t *open)
{
    *open = 0;
    for (uint32_t chip = 0; chip < ME_CHIPS; chip++, raw += CHIP_BYTES) {
        if (raw[0] >> 4 != STATUS_START)
            return false;
        const uint32_t unconnected = open_of(raw);
        for (uint32_t i = 0; i < CHIP_CHANNELS && chip * CHIP_CHANNELS + i < ME_CHANNELS; i++) {
            const uint32_t channel = chip * CHIP_CHANNELS + i;
            counts[channel] = count_of(raw + STATUS_BYTES + COUNT_BYTES * i);
            *open |= (uint64_t)(unconnected >> i & 1u) << channel % 64;
        }
    }
    return true;
}
