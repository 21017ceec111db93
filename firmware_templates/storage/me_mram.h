/* SPDX-License-Identifier: Apache-2.0
 * The flash on GAP9 (eMRAM, 2 MiB) without an operating system, for the fabric controller. Registers are
 * those of the register pages of gap_sdk 4.12, in the order in which its driver writes them. The power
 * domain must be on, as it is after a boot from this flash. A call sleeps until the flash's event and drops
 * other events of the chip. Reads return ME_DAMAGED for bytes with an error that ECC does not correct.
 * Tested only on the simulated chip.
 */
#ifndef ME_MRAM_H
#define ME_MRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "library/me_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ME_MRAM_BYTES 0x200000u
#define ME_MRAM_BLOCK_BYTES 8192u

/* Resets and configures the flash. Returns ME_OK, or ME_FAILED if it is missing. */
int32_t me_mram_open(void);

extern const me_flash me_mram;

/* A read without waiting. me_mram_begin_read starts it, me_mram_has_read returns whether it has ended, and
 * me_mram_read_result then returns ME_OK or ME_DAMAGED. Before me_mram_has_read, the program calls
 * me_mram_take_events; an interrupt handler that receives the chip's events calls me_mram_event for each. */
void me_mram_begin_read(uint32_t at, uint32_t l2, uint32_t bytes);
void me_mram_take_events(void);
void me_mram_event(uint32_t event);
bool me_mram_has_read(void);
int32_t me_mram_read_result(void);

#ifdef __cplusplus
}
#endif

#endif
