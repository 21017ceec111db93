/* SPDX-License-Identifier: Apache-2.0
 * A flash memory, as a program's storage uses it: chip, driver or array are the port's.
 */
#ifndef ME_FLASH_H
#define ME_FLASH_H

#include <stdint.h>

#include "me_status.h"

#define ME_FLASH_MOST_PAGE_BYTES 512u

/* page_bytes    unit of programming: a power of two, at most ME_FLASH_MOST_PAGE_BYTES
 * block_bytes   unit of erasing: whole pages
 * read          any bytes, to word-aligned memory
 * program       whole erased pages, from word-aligned memory
 * erase         the block that begins at this address
 * The functions return ME_OK (0); ME_DAMAGED if bytes have an error that the device does not correct, as those
 * have of a page that power cut while it was programmed; or another negative number if the device failed. */
typedef struct {
    uint32_t page_bytes, block_bytes;
    int32_t (*read)(uint32_t at, void *to, uint32_t bytes);
    int32_t (*program)(uint32_t at, const void *from, uint32_t bytes);
    int32_t (*erase)(uint32_t at);
} me_flash;

#endif
