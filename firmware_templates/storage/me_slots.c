/* SPDX-License-Identifier: Apache-2.0 */
#include "me_slots.h"

#include <stdbool.h>

#include "me_crc32.h"

#define MAGIC 0x3153454Du /* "MES1": version 1 */

/* crc    of the record      head_crc   of the words before it */
typedef struct {
    uint32_t magic, sequence, bytes, crc, head_crc;
} head;
#define CHECKED_BYTES 16u

/* What is programmed at once and comes from nowhere else, and what is read to be checked. */
static union {
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

/* -> the record's CRC is that of its head */
static bool is_whole(const me_slots *slots, int32_t slot, const head *found)
{
    uint32_t at = slot_at(slots, slot) + me_slots_head_bytes(slots), left = found->bytes, crc = 0;
    while (left > 0) {
        const uint32_t part = left < sizeof page.bytes ? left : (uint32_t)sizeof page.bytes;
        if (slots->flash->read(at, page.bytes, part) < 0)
            return false;
        crc = me_crc32(crc, page.bytes, part);
        at += part;
        left -= part;
    }
    return crc == found->crc;
}

/* -> whether the slot holds a whole record; its head */
static bool find(const me_slots *slots, int32_t slot, head *found)
{
    if (slots->flash->read(slot_at(slots, slot), found, sizeof *found) < 0)
        return false;
    return found->magic == MAGIC && found->head_crc == me_crc32(0, found, CHECKED_BYTES)
        && fits(slots, found->bytes) && is_whole(slots, slot, found);
}

/* -> the slot with the newest whole record, and its head; -1: there is none. Numbers wrap around. */
static int32_t newest(const me_slots *slots, head *found)
{
    head other;
    const bool first = find(slots, 0, found), second = find(slots, 1, &other);
    if (second && (!first || (int32_t)(other.sequence - found->sequence) > 0)) {
        *found = other;
        return 1;
    }
    return first ? 0 : -1;
}

/* The first block first: from then on the slot's old record is not whole. */
static int32_t erase(const me_slots *slots, int32_t slot)
{
    const me_flash *flash = slots->flash;
    for (uint32_t at = 0; at < slots->slot_bytes; at += flash->block_bytes)
        if (flash->erase(slot_at(slots, slot) + at) < 0)
            return -1;
    return 0;
}

/* Bytes that are less than the page's are followed by those of an erased one. */
static int32_t program_page(const me_flash *flash, uint32_t at, const uint8_t *from, uint32_t bytes)
{
    const uint32_t size = whole_pages(flash, bytes);
    for (uint32_t i = 0; i < size; i++)
        page.bytes[i] = i < bytes ? from[i] : 0xFFu;
    return flash->program(at, page.bytes, size);
}

static int32_t program(const me_flash *flash, uint32_t at, const uint8_t *record, uint32_t bytes)
{
    const uint32_t whole = bytes & ~(flash->page_bytes - 1u);
    if (whole > 0 && flash->program(at, record, whole) < 0)
        return -1;
    return whole < bytes ? program_page(flash, at + whole, record + whole, bytes - whole) : 0;
}

int32_t me_slots_save(const me_slots *slots, const void *record, uint32_t bytes)
{
    head last = { .sequence = 0 };
    if (!fits(slots, bytes))
        return -1;
    const int32_t slot = newest(slots, &last) == 0;
    head next = { MAGIC, last.sequence + 1u, bytes, me_crc32(0, record, bytes), 0 };
    next.head_crc = me_crc32(0, &next, CHECKED_BYTES);
    const uint32_t at = slot_at(slots, slot);
    if (erase(slots, slot) < 0 || program(slots->flash, at + me_slots_head_bytes(slots), record, bytes) < 0
        || program_page(slots->flash, at, (const uint8_t *)&next, sizeof next) < 0)
        return -1;
    return find(slots, slot, &last) && last.sequence == next.sequence ? 0 : -1;
}

int32_t me_slots_load(const me_slots *slots, void *to, uint32_t most)
{
    head found;
    const int32_t slot = newest(slots, &found);
    if (slot < 0 || found.bytes > most)
        return -1;
    const uint32_t at = slot_at(slots, slot) + me_slots_head_bytes(slots);
    return slots->flash->read(at, to, found.bytes) < 0 ? -1 : (int32_t)found.bytes;
}
