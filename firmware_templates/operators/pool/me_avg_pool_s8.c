/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool.h"

#include "me_pool_windows.h"

void me_avg_pool_s8(const me_avg_pool_s8_params *op, const me_avg_pool_s8_tile *tile)
{
    me_pool_windows(tile, op);
}
