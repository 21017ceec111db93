/* SPDX-License-Identifier: Apache-2.0
 * Loads a blob; <prefix>_load calls it with its network's data.
 */
#ifndef ME_BLOB_H
#define ME_BLOB_H

#include "me_network_info.h"

#define ME_BLOB_FORMAT 1u

/* Location of a network's model.
 * layout       32-byte digest that a blob must have
 * loaded       receives the model's digest, 64 hexadecimal digits
 * model        receives the first model_bytes of the payload
 * l3           receives the following l3_bytes; on the chip they go to the start of L3 */
typedef struct {
    const uint8_t *layout;
    char *loaded;
    uint8_t *model, *l3;
    uint32_t model_bytes, l3_bytes;
} me_blob_place;

me_status me_blob_load(const me_blob *blob, const me_blob_place *place);

#endif
