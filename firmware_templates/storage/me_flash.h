/* SPDX-License-Identifier: Apache-2.0
 * Interface of a flash memory. The port implements it for a chip, a driver or an array.
 */
#ifndef ME_FLASH_H
#define ME_FLASH_H

#include <stdint.h>

#include "me_status.h"

#define ME_FLASH_MOST_PAGE_BYTES 512u

/* page_bytes    unit of programming: a power of two, at most ME_FLASH_MOST_PAGE_BYTES
 * block_bytes   unit of erasing: whole pages
 * read          reads any bytes to word-aligned memory
 * program       programs whole erased pages from word-aligned memory
 * erase         erases the block that begins at this address
 * The functions return ME_OK (0); ME_DAMAGED if bytes have an error that the device does not correct, for
 * example in a page that was being programmed when power failed; or another negative number if the device
 * failed. */
typedef struct {
    uint32_t page_bytes, block_bytes;
    int32_t (*read)(uint32_t at, void *to, uint32_t bytes);
    int32_t (*program)(uint32_t at, const void *from, uint32_t bytes);
    int32_t (*erase)(uint32_t at);
} me_flash;

#endif
