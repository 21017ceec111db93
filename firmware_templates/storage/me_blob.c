/* SPDX-License-Identifier: Apache-2.0 */
#include "me_blob.h"

#include <stdbool.h>

#include "me_crc32.h"
#include "me_share.h"

/* Offsets of the fields in the header. */
enum { FORMAT = 4, LAYOUT = 8, DIGEST = 40, PAYLOAD_BYTES = 72, CRC = 76, HEAD_BYTES = 80 };
#define DIGEST_BYTES 32u
#define CHUNK_BYTES 512u

static ME_NOINIT _Alignas(8) uint8_t chunk[CHUNK_BYTES];

static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = from[i];
}

static int32_t read_memory(const me_blob *blob, uint32_t at, void *to, uint32_t bytes)
{
    copy(to, (const uint8_t *)blob->context + at, bytes);
    return 0;
}

me_blob me_blob_in_memory(const void *blob, uint32_t bytes)
{
    return (me_blob){ .bytes = bytes, .read = read_memory, .context = blob };
}

static uint32_t word(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool differs(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if (a[i] != b[i])
            return true;
    return false;
}

static uint32_t payload_bytes(const me_blob_place *place) { return place->model_bytes + place->l3_bytes; }

/* A digest in hexadecimal digits. */
static void put_digits(char *to, const uint8_t *digest)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < DIGEST_BYTES; i++) {
        to[2 * i] = digits[digest[i] >> 4];
        to[2 * i + 1] = digits[digest[i] & 15];
    }
}

static me_status read_head(const me_blob *blob, const me_blob_place *place, uint8_t *head)
{
    static const uint8_t magic[FORMAT] = { 'M', 'E', 'W', 'B' };
    if (blob->bytes < HEAD_BYTES || blob->bytes != HEAD_BYTES + payload_bytes(place))
        return ME_WRONG_SIZE;
    if (blob->read(blob, 0, head, HEAD_BYTES) != 0)
        return ME_UNREADABLE;
    if (differs(head, magic, FORMAT) || word(head + FORMAT) != ME_BLOB_FORMAT)
        return ME_WRONG_VERSION;
    if (differs(head + LAYOUT, place->layout, DIGEST_BYTES)
        || word(head + PAYLOAD_BYTES) != payload_bytes(place))
        return ME_WRONG_LAYOUT;
    return ME_OK;
}

/* Stores a chunk of the payload, which belongs to the model or to L3. */
static void store(const me_blob_place *place, uint32_t at, uint32_t bytes)
{
    if (at < place->model_bytes)
        copy(place->model + at, chunk, bytes);
    else
#ifdef ME_GAP9
        me_l3_store(at - place->model_bytes, chunk, bytes);
#else
        copy(place->l3 + (at - place->model_bytes), chunk, bytes);
#endif
}

/* Reads header and payload, and stores the payload if is_kept. -> whether everything could be read; *crc:
 * their CRC-32, with the header's own CRC field taken as zeros */
static bool read_all(const me_blob *blob, const me_blob_place *place, const uint8_t *head, bool is_kept,
                     uint32_t *crc)
{
    static const uint8_t zeros[HEAD_BYTES - CRC];
    *crc = me_crc32(me_crc32(0, head, CRC), zeros, sizeof zeros);
    for (uint32_t at = 0, bytes; at < payload_bytes(place); at += bytes) {
        const uint32_t end = at < place->model_bytes ? place->model_bytes : payload_bytes(place);
        bytes = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
        if (blob->read(blob, HEAD_BYTES + at, chunk, bytes) != 0)
            return false;
        *crc = me_crc32(*crc, chunk, bytes);
        if (is_kept)
            store(place, at, bytes);
    }
    return true;
}

me_status me_blob_load(const me_blob *blob, const me_blob_place *place)
{
    _Alignas(4) uint8_t head[HEAD_BYTES];
    uint32_t crc;
    const me_status status = read_head(blob, place, head);
    if (status != ME_OK)
        return status;
    if (!read_all(blob, place, head, false, &crc))
        return ME_UNREADABLE;
    if (crc != word(head + CRC))
        return ME_DAMAGED;
    if (blob->verify && blob->verify(blob) != 0)
        return ME_REFUSED;
#ifndef ME_GAP9
    if (place->l3_bytes > 0 && !place->l3)
        return ME_NO_L3;
#endif
    if (!read_all(blob, place, head, true, &crc) || crc != word(head + CRC))
        return ME_HALF_LOADED;
    put_digits(place->loaded, head + DIGEST);
    return ME_OK;
}
