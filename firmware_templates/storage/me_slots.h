/* SPDX-License-Identifier: Apache-2.0
 * A record in flash that survives power failures at any time. The newest complete record is in one of two
 * slots, and the next one is written to the other slot. A record's header, with a sequence number and the
 * CRC-32 of the record, is programmed last. Therefore at least one of the old and the new record is always
 * valid.
 *
 *   static const me_slots slots = { .flash = &my_flash, .first = 0x1FC000, .slot_bytes = 0x2000 };
 *   me_slots_save(&slots, bytes, count);
 *   count = me_slots_load(&slots, bytes, sizeof bytes);
 *
 * A record that is too large for a buffer is written and read in parts:
 *
 *   me_slots_record record;
 *   me_slots_begin(&slots, &record);
 *   me_slots_append(&record, part, bytes);   once per part
 *   me_slots_read(&record, 0, to, bytes);    to check it while the old record is still in force
 *   me_slots_commit(&record);
 *
 * Functions return ME_OK or a negative status (me_status.h). ME_UNREADABLE: reading the flash failed, so
 * that the newest record is unknown; retry or restart. Nothing was erased.
 *
 * Assumptions: a page whose programming was cut by a power failure reads the same bits each time, or
 * reading it returns ME_DAMAGED; erasing or programming does not change other blocks.
 */
#ifndef ME_SLOTS_H
#define ME_SLOTS_H

#include <stdint.h>

#include "me_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

/* first         address of the first slot, at the start of a block; the second slot follows
 * slot_bytes    of each: whole blocks, large enough for a record and its header */
typedef struct {
    const me_flash *flash;
    uint32_t first, slot_bytes;
} me_slots;

/* A record in flash.
 * at         address of its first byte
 * bytes      written so far
 * sequence, crc   of its header */
typedef struct {
    const me_slots *slots;
    uint32_t at, bytes, sequence, crc;
} me_slots_record;

/* Begins a record in the slot without the newest record, which is erased. Returns ME_OK, ME_FAILED if erasing failed,
 * or ME_UNREADABLE. */
int32_t me_slots_begin(const me_slots *slots, me_slots_record *record);

/* Writes a part, aligned to words; each part except the last has whole pages. Returns ME_OK, or ME_FAILED if it does not fit
 * or the flash failed. */
int32_t me_slots_append(me_slots_record *record, const void *part, uint32_t bytes);

/* Makes the record the newest one. Returns ME_OK; ME_FAILED if the flash failed: the last record still
 * exists; or ME_UNREADABLE: the record is written but could not be read back. */
int32_t me_slots_commit(const me_slots_record *record);

/* Finds the newest complete record, or with `age` 1 the one before it, if the next one has not begun. Returns ME_OK,
 * ME_FAILED if there is none, or ME_UNREADABLE. */
int32_t me_slots_find(const me_slots *slots, me_slots_record *record, int32_t age);

/* Drops a record that the program rejected after it accepted the one before: the next record begins in
 * its slot. Returns ME_OK, or ME_FAILED if the flash failed. */
int32_t me_slots_drop(const me_slots_record *record);

/* Copies bytes of a record, from offset `at` on, to word-aligned memory. Returns ME_OK; ME_DAMAGED if the flash reports an
 * error in the bytes; or ME_FAILED if there are fewer bytes or the flash failed. */
int32_t me_slots_read(const me_slots_record *record, uint32_t at, void *to, uint32_t bytes);

/* Bytes before a record's data: its header, rounded up to whole pages. */
uint32_t me_slots_head_bytes(const me_slots *slots);

/* Stores a record, aligned to words. Returns ME_OK; ME_FAILED if it is too large or the flash failed: the last record still
 * exists; or ME_UNREADABLE: the last record or the new one exists. */
int32_t me_slots_save(const me_slots *slots, const void *record, uint32_t bytes);

/* Copies the newest complete record to word-aligned memory. Returns its bytes; ME_FAILED without any change if there is
 * none or it has more than `most` bytes; or ME_UNREADABLE. */
int32_t me_slots_load(const me_slots *slots, void *to, uint32_t most);

#ifdef __cplusplus
}
#endif

#endif
