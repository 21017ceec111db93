/* SPDX-License-Identifier: Apache-2.0
 * The partition of a flash that holds a network's weights: a header with the size and the CRC-32 of the
 * image that follows it. The header's block is erased first and the header is programmed last, so power
 * cuts leave the old image, the new one, or a partition that me_weights_find refuses.
 *
 *   me_weights_find(&me_mram, at, bytes, crc)   whether the image is there
 *   me_weights_erase(&me_mram, at, bytes)       to replace it:
 *   me_mram.program(at + ME_WEIGHTS_HEAD_BYTES, ...)
 *   me_weights_commit(&me_mram, at, bytes, crc)
 */
#ifndef ME_WEIGHTS_H
#define ME_WEIGHTS_H

#include <stdint.h>

#include "me_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ME_WEIGHTS_HEAD_BYTES 64u /* the image follows; a multiple of all page sizes up to 64 */

/* Looks for an image of this size and CRC-32 at an address, and compares its bytes with the CRC-32. Returns
 * ME_OK             the image is there and undamaged
 * ME_WRONG_VERSION  there is no header, or one of another format
 * ME_WRONG_SIZE     the header has another size
 * ME_WRONG_LAYOUT   the header has another CRC-32
 * ME_DAMAGED        the bytes have another CRC-32, or an error that the flash does not correct
 * ME_UNREADABLE     the flash failed */
int32_t me_weights_find(const me_flash *flash, uint32_t at, uint32_t bytes, uint32_t crc);

/* Erases header and image, the header first. Returns ME_OK, or ME_FAILED. */
int32_t me_weights_erase(const me_flash *flash, uint32_t at, uint32_t bytes);

/* Programs the header, then checks the image as me_weights_find does. Returns ME_FAILED if the flash failed,
 * otherwise the result of the check. */
int32_t me_weights_commit(const me_flash *flash, uint32_t at, uint32_t bytes, uint32_t crc);

#ifdef __cplusplus
}
#endif

#endif
