/* SPDX-License-Identifier: Apache-2.0 */
#include "me_pool.h"

#include "me_pool_windows.h"

void me_max_pool_s8(const me_max_pool_s8_params *op, const me_max_pool_s8_tile *tile)
{
    (void)op;
    me_pool_windows(tile, 0);
}
