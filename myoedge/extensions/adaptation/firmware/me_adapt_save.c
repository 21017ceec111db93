/* SPDX-License-Identifier: Apache-2.0
 * A saved classifier, in little-endian words: magic number and version, 8 bytes of the network's digest,
 * method (0: the network itself), classes, features, int32 biases, int16 weights, padded to a word; in a
 * build with norm, whether inputs are normalised, then means and gains; CRC-32 of all preceding bytes.
 */
#include "me_adapt_state.h"
#include "me_crc32.h"

#define MAGIC 0x3141454Du /* "MEA1": version 1 */
#define HEAD_BYTES 24u

static uint32_t weight_bytes(void)
{
    return ((uint32_t)(me_adapt_of.classes * me_adapt_of.features) * 2u + 3u) & ~3u;
}

static uint32_t norm_bytes(void)
{
    return me_adapt_of.channels > 0 ? 4u + 8u * (uint32_t)me_adapt_of.channels : 0u;
}

uint32_t me_adapt_saved_bytes(void)
{
    return HEAD_BYTES + (uint32_t)me_adapt_of.classes * 4u + weight_bytes() + norm_bytes() + 4u;
}

static void put_word(uint8_t *at, uint32_t word)
{
    for (int32_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (8 * i));
}

static uint32_t word_at(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_header(uint8_t *bytes, int32_t method)
{
    put_word(bytes, MAGIC);
    for (int32_t i = 0; i < 8; i++)
        bytes[4 + i] = me_adapt_of.digest[i];
    put_word(bytes + 12, (uint32_t)method);
    put_word(bytes + 16, (uint32_t)me_adapt_of.classes);
    put_word(bytes + 20, (uint32_t)me_adapt_of.features);
}

static void put_norm(uint8_t *at)
{
    put_word(at, (uint32_t)me_adapt.normed);
    for (int32_t i = 0; i < 2 * me_adapt_of.channels; i++)
        put_word(at + 4 + 4 * i, me_adapt.normed ? (uint32_t)me_adapt_of.norm[i] : 0u);
}

static void load_norm(const uint8_t *at)
{
    me_adapt.normed = word_at(at) != 0;
    for (int32_t i = 0; i < 2 * me_adapt_of.channels; i++)
        me_adapt_of.norm[i] = (int32_t)word_at(at + 4 + 4 * i);
}

uint32_t me_adapt_save(void *buffer)
{
    uint8_t *bytes = buffer, *at = bytes + HEAD_BYTES;
    const uint32_t size = me_adapt_saved_bytes();
    const int32_t numbers = me_adapt_of.classes * me_adapt_of.features;
    const int32_t in_force = me_adapt.in_force != 0;
    put_header(bytes, me_adapt.in_force);
    for (int32_t label = 0; label < me_adapt_of.classes; label++, at += 4)
        put_word(at, in_force ? (uint32_t)me_adapt.bias[0][label] : 0u);
    put_word(bytes + size - norm_bytes() - 8u, 0);
    for (int32_t i = 0; i < numbers; i++, at += 2) {
        const uint16_t weight = in_force ? (uint16_t)me_adapt_of.weights[i] : 0;
        at[0] = (uint8_t)weight;
        at[1] = (uint8_t)(weight >> 8);
    }
    if (norm_bytes() > 0)
        put_norm(bytes + size - norm_bytes() - 4u);
    put_word(bytes + size - 4u, me_crc32(0, bytes, size - 4u));
    return size;
}

int32_t me_adapt_load(const void *buffer, uint32_t bytes)
{
    const uint8_t *from = buffer, *at = from + HEAD_BYTES;
    uint8_t head[HEAD_BYTES];
    if (bytes != me_adapt_saved_bytes() || me_crc32(0, from, bytes - 4u) != word_at(from + bytes - 4u))
        return ME_FAILED;
    const int32_t method = (int32_t)word_at(from + 12);
    if (method < 0 || method > ME_ADAPT_HEAD)
        return ME_FAILED;
    put_header(head, method);
    for (uint32_t i = 0; i < HEAD_BYTES; i++)
        if (head[i] != from[i])
            return ME_FAILED;
    for (int32_t label = 0; label < me_adapt_of.classes; label++, at += 4)
        me_adapt.bias[0][label] = (int32_t)word_at(at);
    for (int32_t i = 0; i < me_adapt_of.classes * me_adapt_of.features; i++, at += 2)
        me_adapt_of.weights[i] = (int16_t)(at[0] | at[1] << 8);
    if (norm_bytes() > 0)
        load_norm(from + bytes - norm_bytes() - 4u);
    me_adapt.in_force = method;
    me_adapt.method = 0; /* the collected windows were for another classifier */
    return 0;
}
