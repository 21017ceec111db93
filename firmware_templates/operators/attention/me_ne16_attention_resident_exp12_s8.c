/* SPDX-License-Identifier: Apache-2.0 */
#include "me_ne16_attention_resident_s8.h"

#define ME_EXP12 1
#include "me_ne16_attention_resident_s8_body.h"

void me_ne16_attention_resident_exp12_s8(const me_ne16_attention_resident_s8_params *op,
                                         const me_ne16_attention_resident_s8_tile *tile)
{
    me_ne16_attention_all(op, tile);
}
