/* SPDX-License-Identifier: Apache-2.0
 * A record in flash that survives power cuts at any time. There are two slots: the newest whole record
 * is in one of them, and the next one is written into the other. Its head, with a sequence number and
 * the CRC-32 of the record, is programmed last. So the old record or the new one is there, never
 * neither.
 *
 *   static const me_slots slots = { .flash = &my_flash, .first = 0x1FC000, .slot_bytes = 0x2000 };
 *   me_slots_save(&slots, bytes, count);
 *   count = me_slots_load(&slots, bytes, sizeof bytes);
 *
 * What it relies on: a page that power cuts while it is programmed reads the same each time, whatever
 * its bits are; erasing or programming changes no other block.
 */
#ifndef ME_SLOTS_H
#define ME_SLOTS_H

#include <stdint.h>

#include "me_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

/* first         address of the first slot, where a block begins; the second slot is behind it
 * slot_bytes    of each: whole blocks, with room for a record and its head */
typedef struct {
    const me_flash *flash;
    uint32_t first, slot_bytes;
} me_slots;

/* Bytes in front of a record: its head, in whole pages. */
uint32_t me_slots_head_bytes(const me_slots *slots);

/* Stores a record, aligned to words. Returns 0, or -1 where it is too large or the flash failed: the
 * last record is still there. */
int32_t me_slots_save(const me_slots *slots, const void *record, uint32_t bytes);

/* Copies the newest whole record, to memory that is aligned to words. Returns its bytes, or -1 and
 * changes nothing: there is none, or it has more than `most` bytes. */
int32_t me_slots_load(const me_slots *slots, void *to, uint32_t most);

#ifdef __cplusplus
}
#endif

#endif
