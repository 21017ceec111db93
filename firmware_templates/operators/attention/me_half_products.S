/* SPDX-License-Identifier: Apache-2.0
 * me_half_products.h for GAP9's cores.
 */
#if defined ME_GAP9 && !defined ME_SDK

#include "xpulp.inc"
#include "me_products.inc"

products me_products_halves, pv_sdotsp_h, pv_dotsp_h

#endif
