/* SPDX-License-Identifier: Apache-2.0
 * Register addresses of GAP9 for a program without an operating system. Sources: the register pages of
 * GreenWaves' gap_sdk 4.12 (ITC, FLL, cluster control, event unit, DMA, uDMA), and the description of the
 * public GVSoC target pulp-open for its addresses.
 */
#ifndef ME_REGISTERS_H
#define ME_REGISTERS_H

#include <stdint.h>

#define ME_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* cluster control */
#define ME_FETCH_ENABLE 0x10200008u
#define ME_BOOT_ADDRESS(core) (0x10200040u + 4u * (uint32_t)(core))
#define ME_CLUSTER_CACHE_ENABLE 0x10201400u
#define ME_CLUSTER_TIMER_CONFIG 0x10200400u
#define ME_CLUSTER_TIMER_COUNT 0x10200408u
#define ME_TIMER_RESET_AND_RUN 3u

/* event unit, as seen by each core */
#define ME_EVENT_MASK_CLEAR 0x10204004u
#define ME_EVENT_MASK_SET 0x10204008u
#define ME_EVENT_BUFFER_CLEAR 0x10204028u
#define ME_EVENT_WAIT_CLEAR 0x1020403Cu
#define ME_BARRIER_TRIGGER_MASK(b) (0x10204200u + 0x20u * (b))
#define ME_BARRIER_TARGET_MASK(b) (0x1020420Cu + 0x20u * (b))
#define ME_BARRIER_WAIT(b) (0x1020421Cu + 0x20u * (b))
#define ME_EVENT_DMA (1u << 8)
#define ME_EVENT_BARRIER (1u << 16)

/* interrupt controller of the fabric controller, from the platform's base */
#define ME_ITC_MASK_SET 0x04u
#define ME_ITC_STATUS 0x0Cu
#define ME_ITC_STATUS_SET 0x10u
#define ME_ITC_STATUS_CLEAR 0x14u
#define ME_WAKE 1u          /* the cluster signals the fabric controller */
#define ME_L3_END (1u << 30) /* GAP9: a transfer of the external memory ended */

#define ME_FC_CACHE_ENABLE 0x1A108800u

/* GAP9: clocks and power */
#define ME_FLL_STATUS 0x1A100000u
#define ME_FLL_RANGE 0x1A100004u
#define ME_FLL_LOOP 0x1A10000Cu
#define ME_FLL_TARGET 0x1A100010u
#define ME_FLL_DIVIDERS 0x1A10002Cu
#define ME_FLL_CORES \
    0x01010100u /* dividers of controller, cluster and accelerators; peripherals: the low byte */
#define ME_FLL_ENABLES 0x1A100030u
#define ME_OSCILLATOR 0x1A104110u
#define ME_PMU_CLUSTER 0x1A107004u
#define ME_PMU_ISOLATE 0x1A107008u

/* uDMA: channel 13 of GAP9 (v4) and channel 8 of pulp-open (v3) connect the external memory */
#define ME_UDMA 0x1A102000u
#define ME_L3_V4 0x1A102700u
#define ME_L3_V3 0x1A102480u
#define ME_L3_V3_COMMON 0x1A102880u

#endif
