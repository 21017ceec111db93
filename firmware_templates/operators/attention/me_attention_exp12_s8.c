/* SPDX-License-Identifier: Apache-2.0 */
#include "me_attention.h"

#define ME_EXP12 1
#include "me_attention_s8_body.h"

void me_attention_exp12_s8(const me_attention_s8_params *op, const me_attention_s8_tile *tile)
{
    me_attention_all(op, tile);
}
