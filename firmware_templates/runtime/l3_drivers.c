/* SPDX-License-Identifier: Apache-2.0 */
#include "l3_drivers.h"

#include "platform.h"
#include "registers.h"

/* ---- GAP9 */

#define V4_CHANNEL (1u << 13)
#define V4_CLOCK_SET (ME_UDMA + 0x04u)  /* write-only: set bits enable clocks */
#define V4_RESET_SET (ME_UDMA + 0x10u)  /* write-only: set bits release resets */
#define V4_RX_GENERATOR (ME_L3_V4 + 0x00u)
#define V4_TX_GENERATOR (ME_L3_V4 + 0x04u)
#define V4_L2 (ME_L3_V4 + 0x0Cu)
#define V4_BYTES (ME_L3_V4 + 0x10u)
#define V4_GO (ME_L3_V4 + 0x14u) /* bit 0: into L2, bit 1: go */
#define V4_L3 (ME_L3_V4 + 0x20u)
#define V4_TIMING (ME_L3_V4 + 0x24u)
#define V4_RAM_FROM (ME_L3_V4 + 0x28u)
#define V4_FLASH_FROM (ME_L3_V4 + 0x2Cu)
#define V4_BURST (ME_L3_V4 + 0x5Cu)
#define V4_INTERRUPT (ME_L3_V4 + 0x60u)
#define V4_CLOCK (ME_L3_V4 + 0x64u)

void me_l3_v4_open(void)
{
    ME_REG(V4_RESET_SET) = V4_CHANNEL;
    ME_REG(V4_CLOCK_SET) = V4_CHANNEL;
    ME_REG(V4_RX_GENERATOR) = 0;
    ME_REG(V4_TX_GENERATOR) = 1;
    ME_REG(V4_RAM_FROM) = 0;
    ME_REG(V4_FLASH_FROM) = 0x04000000u;
    ME_REG(V4_INTERRUPT) = 1;
    ME_REG(V4_BURST) = 0;
    ME_REG(V4_TIMING) = 0x200u << 18 | 4u << 5 | 4u; /* chip select low for 512 cycles at most */
    ME_REG(V4_CLOCK) = 1u << 8 | 1u;                 /* a byte in two peripheral cycles */
    ME_REG(me_here.itc + ME_ITC_MASK_SET) = ME_L3_END;
}

void me_l3_v4_begin(uint32_t l3, uint32_t l2, uint32_t bytes, bool into_l2)
{
    ME_REG(me_here.itc + ME_ITC_STATUS_CLEAR) = ME_L3_END;
    ME_REG(V4_L3) = l3;
    ME_REG(V4_L2) = l2;
    ME_REG(V4_BYTES) = bytes;
    ME_REG(V4_GO) = into_l2 ? 3u : 2u;
}

bool me_l3_v4_busy(void)
{
    const bool over = (ME_REG(me_here.itc + ME_ITC_STATUS) & ME_L3_END) != 0;
    if (over)
        ME_REG(me_here.itc + ME_ITC_STATUS_CLEAR) = ME_L3_END;
    return !over;
}

/* ---- pulp-open */

#define V3_CHANNEL (1u << 8)
#define V3_CLOCK_GATE ME_UDMA
#define V3_RX (ME_L3_V3 + 0x00u) /* address, bytes, configuration */
#define V3_TX (ME_L3_V3 + 0x0Cu)
#define V3_COMMAND (ME_L3_V3 + 0x18u)
#define V3_L3 (ME_L3_V3 + 0x1Cu)
#define V3_STATUS (ME_L3_V3 + 0x24u)
#define V3_PAGE_BOUND (ME_L3_V3_COMMON + 0x00u)
#define V3_LATENCY (ME_L3_V3_COMMON + 0x04u)
#define V3_LATENCY_ADDED (ME_L3_V3_COMMON + 0x08u)
#define V3_SELECT_MAX (ME_L3_V3_COMMON + 0x0Cu)
#define V3_MEMORY (ME_L3_V3_COMMON + 0x20u)
#define V3_GO (1u << 4)
#define V3_READ 5u
#define V3_WRITE 1u

void me_l3_v3_open(void)
{
    ME_REG(V3_CLOCK_GATE) = ME_REG(V3_CLOCK_GATE) | V3_CHANNEL;
    ME_REG(V3_LATENCY) = 6;
    ME_REG(V3_LATENCY_ADDED) = 1;
    ME_REG(V3_SELECT_MAX) = 0;
    ME_REG(V3_PAGE_BOUND) = 0;
    ME_REG(V3_MEMORY) = 0; /* selects the RAM */
}

void me_l3_v3_begin(uint32_t l3, uint32_t l2, uint32_t bytes, bool into_l2)
{
    const uint32_t side = into_l2 ? V3_RX : V3_TX;
    ME_REG(V3_COMMAND) = into_l2 ? V3_READ : V3_WRITE;
    ME_REG(V3_L3) = l3;
    ME_REG(side) = l2;
    ME_REG(side + 4) = bytes;
    ME_REG(side + 8) = V3_GO;
}

bool me_l3_v3_busy(void) { return (ME_REG(V3_STATUS) & 1u) != 0; }
