/* SPDX-License-Identifier: Apache-2.0 */
#include "me_slots.h"

#include <stdbool.h>

#include "me_crc32.h"

#define MAGIC 0x3153454Du /* "MES1": version 1 */

/* crc    CRC-32 of the record      head_crc   CRC-32 of the preceding words */
typedef struct {
    uint32_t magic, sequence, bytes, crc, head_crc;
} head;
#define CHECKED_BYTES 16u

/* Size of the buffer for programming data from other memories, and for reading back. */
static union {
    /* cppcheck-suppress unusedStructMember ; its bytes are written */
    head head;
    uint8_t bytes[ME_FLASH_MOST_PAGE_BYTES];
} page;

static uint32_t whole_pages(const me_flash *flash, uint32_t bytes)
{
    return (bytes + flash->page_bytes - 1u) & ~(flash->page_bytes - 1u);
}

uint32_t me_slots_head_bytes(const me_slots *slots)
{
    return whole_pages(slots->flash, (uint32_t)sizeof(head));
}

static uint32_t slot_at(const me_slots *slots, int32_t slot)
{
    return slots->first + (slot != 0 ? slots->slot_bytes : 0u);
}

static bool fits(const me_slots *slots, uint32_t bytes)
{
    return bytes <= slots->slot_bytes - me_slots_head_bytes(slots);
}

/* status   of a read that failed
 * -> 0: the slot's bytes are damaged, so it holds no complete record; otherwise ME_UNREADABLE */
static int32_t status_of_slot(int32_t status) { return status == ME_DAMAGED ? 0 : ME_UNREADABLE; }

/* -> 1: the record's CRC matches its header; 0: it does not; ME_UNREADABLE */
static int32_t is_complete(const me_slots_record *record)
{
    uint32_t crc = 0;
    for (uint32_t at = 0, part; at < record->bytes; at += part) {
        const uint32_t left = record->bytes - at;
        part = left < sizeof page.bytes ? left : (uint32_t)sizeof page.bytes;
        const int32_t status = me_slots_read(record, at, page.bytes, part);
        if (status < 0)
            return status_of_slot(status);
        crc = me_crc32(crc, page.bytes, part);
    }
    return crc == record->crc;
}

/* -> 1: the slot holds a complete record; 0: it does not; ME_UNREADABLE */
static int32_t find(const me_slots *slots, int32_t slot, me_slots_record *record)
{
    const uint32_t at = slot_at(slots, slot);
    head found;
    const int32_t status = slots->flash->read(at, &found, sizeof found);
    if (status < 0)
        return status_of_slot(status);
    *record =
        (me_slots_record){ slots, at + me_slots_head_bytes(slots), found.bytes, found.sequence, found.crc };
    const bool is_head = found.magic == MAGIC && found.head_crc == me_crc32(0, &found, CHECKED_BYTES);
    return is_head && fits(slots, found.bytes) ? is_complete(record) : 0;
}

/* Lists the complete records, the newest first; sequence numbers wrap around. -> their number, or
 * ME_UNREADABLE: a record that cannot be read may be the newest one */
static int32_t find_all(const me_slots *slots, me_slots_record *records)
{
    me_slots_record second;
    const int32_t is_first = find(slots, 0, records), is_second = find(slots, 1, &second);
    if (is_first < 0 || is_second < 0)
        return ME_UNREADABLE;
    if (!is_second)
        return is_first;
    if (is_first && (int32_t)(second.sequence - records[0].sequence) <= 0) {
        records[1] = second;
        return 2;
    }
    records[1] = records[0];
    records[0] = second;
    return 1 + is_first;
}

int32_t me_slots_find(const me_slots *slots, me_slots_record *record, int32_t age)
{
    me_slots_record found[2];
    const int32_t count = find_all(slots, found);
    if (age >= count)
        return count < 0 ? count : ME_FAILED;
    *record = found[age];
    return ME_OK;
}

int32_t me_slots_drop(const me_slots_record *record)
{
    const me_slots *slots = record->slots;
    return slots->flash->erase(record->at - me_slots_head_bytes(slots)) < 0 ? -1 : 0;
}

int32_t me_slots_read(const me_slots_record *record, uint32_t at, void *to, uint32_t bytes)
{
    if (at > record->bytes || bytes > record->bytes - at)
        return ME_FAILED;
    const int32_t status = record->slots->flash->read(record->at + at, to, bytes);
    return status < 0 && status != ME_DAMAGED ? ME_FAILED : status;
}

/* Erases a slot, the first block first: from then on the slot's old record is invalid. */
static int32_t erase(const me_slots *slots, int32_t slot)
{
    const me_flash *flash = slots->flash;
    for (uint32_t at = 0; at < slots->slot_bytes; at += flash->block_bytes)
        if (flash->erase(slot_at(slots, slot) + at) < 0)
            return ME_FAILED;
    return ME_OK;
}

/* Programs a page; if there are fewer bytes than a page, the rest has the value of erased bytes. */
static int32_t program_page(const me_flash *flash, uint32_t at, const uint8_t *from, uint32_t bytes)
{
    const uint32_t size = whole_pages(flash, bytes);
    for (uint32_t i = 0; i < size; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): from holds `bytes` bytes */
        page.bytes[i] = i < bytes ? from[i] : 0xFFu;
    return flash->program(at, page.bytes, size);
}

int32_t me_slots_begin(const me_slots *slots, me_slots_record *record)
{
    me_slots_record newest = { .sequence = 0 };
    const int32_t status = me_slots_find(slots, &newest, 0);
    if (status == ME_UNREADABLE)
        return status;
    const int32_t slot = status == 0 && newest.at < slots->first + slots->slot_bytes;
    const uint32_t at = slot_at(slots, slot) + me_slots_head_bytes(slots);
    *record = (me_slots_record){ .slots = slots, .at = at, .sequence = newest.sequence + 1u };
    return erase(slots, slot);
}

int32_t me_slots_append(me_slots_record *record, const void *part, uint32_t bytes)
{
    const me_flash *flash = record->slots->flash;
    const uint32_t whole = bytes & ~(flash->page_bytes - 1u), at = record->at + record->bytes;
    if (!fits(record->slots, bytes) || !fits(record->slots, record->bytes + bytes))
        return ME_FAILED;
    record->crc = me_crc32(record->crc, part, bytes);
    record->bytes += bytes;
    if (whole > 0 && flash->program(at, part, whole) < 0)
        return ME_FAILED;
    return whole < bytes ? program_page(flash, at + whole, (const uint8_t *)part + whole, bytes - whole) : 0;
}

int32_t me_slots_commit(const me_slots_record *record)
{
    const me_slots *slots = record->slots;
    head last = { MAGIC, record->sequence, record->bytes, record->crc, 0 };
    last.head_crc = me_crc32(0, &last, CHECKED_BYTES);
    const uint32_t at = record->at - me_slots_head_bytes(slots);
    if (program_page(slots->flash, at, (const uint8_t *)&last, sizeof last) < 0)
        return ME_FAILED;
    me_slots_record newest;
    const int32_t status = me_slots_find(slots, &newest, 0);
    return status == 0 && newest.at != record->at ? ME_FAILED : status;
}

int32_t me_slots_save(const me_slots *slots, const void *record, uint32_t bytes)
{
    me_slots_record next;
    int32_t status = fits(slots, bytes) ? me_slots_begin(slots, &next) : ME_FAILED;
    if (status == 0)
        status = me_slots_append(&next, record, bytes);
    return status == 0 ? me_slots_commit(&next) : status;
}

int32_t me_slots_load(const me_slots *slots, void *to, uint32_t most)
{
    me_slots_record record;
    const int32_t status = me_slots_find(slots, &record, 0);
    if (status < 0 || record.bytes > most)
        return status < 0 ? status : ME_FAILED;
    return me_slots_read(&record, 0, to, record.bytes) < 0 ? ME_UNREADABLE : (int32_t)record.bytes;
}
