/* SPDX-License-Identifier: Apache-2.0
 * The flash on GAP9 (eMRAM, 2 MiB) without an operating system, by the fabric controller. Registers are
 * those of the pages of gap_sdk 4.12, their order that of its driver; its power domain must be on, as it
 * is after a boot from it. A call sleeps until the flash's event; other events of the chip that come
 * meanwhile are dropped. Tried on the simulated chip only.
 */
#ifndef ME_MRAM_H
#define ME_MRAM_H

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

#ifdef __cplusplus
}
#endif

#endif
