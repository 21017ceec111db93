/* SPDX-License-Identifier: Apache-2.0
 * One name for each instruction that kernels use, and three bodies for it:
 *   me_intrinsics_c.h     plain C: what it means, on any machine
 *   me_intrinsics_gap9.h  encodings for GAP9's cores, by any RISC-V compiler (-DME_GAP9)
 *   me_intrinsics_sdk.h   builtins of the GAP SDK's compiler (-DME_SDK)
 * Tests hold them together on random values. Instructions in which the chip and its simulators are
 * known to differ (shuffles of two words, normalised 0 shifts, ...) have no name here.
 *
 * A word holds four bytes (_b) or two halves (_h), the first of them lowest.
 *
 *   me_dotsp, me_dotup, me_dotusp   sum of products: both signed, both unsigned, the first unsigned
 *   me_sdotsp, me_sdotup, me_sdotusp(acc, a, b)   the same, added to acc
 *   me_add, me_sub, me_min, me_max, me_minu, me_maxu, me_abs of _b and _h   wrap around
 *   me_sra_b, me_sra_h(a, n)   each element shifted right by that of n, signed; n 0 .. 7, 0 .. 15
 *   me_pack_h(low, high), me_pack_b(b0, b1, b2, b3)   the lowest bits of their arguments
 *   me_mac(acc, a, b), me_msu(acc, a, b)   acc + a * b, acc - a * b, modulo 2**32
 *   me_min, me_max, me_minu, me_maxu, me_abs   of one number
 *   me_clips(x, bits)   limited to -2**(bits-1) .. 2**(bits-1)-1, bits 1 .. 31, a constant
 *   me_clipu(x, bits)   limited to 0 .. 2**bits-1, bits 0 .. 30, a constant
 *   me_addRN(a, b, shift)   (a + b + 2**(shift-1)) >> shift; shift 1 .. 31, a constant
 *   me_mulsRN(a, b, shift)  (a * b + 2**(shift-1)) >> shift of the lower halves, signed
 *   me_macsRN(acc, a, b, shift)   (acc + a * b + 2**(shift-1)) >> shift, the same way; of these two
 *                    the sum must stay inside int32, as models differ beyond it
 *   me_extract(x, size, at), me_extractu   `size` bits from bit `at`, constants, size + at <= 32
 *   me_insert(into, x, size, at)           the lowest bits of x placed there
 *   me_exths, me_exthz, me_extbs, me_extbz   the lower half or byte, signed or not
 *   me_ff1, me_fl1   number of the lowest, the highest bit that is set; 32 without one
 *   me_cnt           bits that are set          me_ror(x, n)   rotated right, n 0 .. 31
 *   me_next_b, _bu, _h, _hu, _w(&pointer)         loads, then moves the pointer behind it
 *   me_step_b, _h, _w(&pointer, bytes)            loads, then moves the pointer by so much
 *   me_at_b, _bu(middle, at)   entry of a table with 256 of them, at -128 .. 127 from its middle
 *   me_put_b, _h, _w(&pointer, x)                 stores, then moves the pointer behind it
 */
#ifndef ME_INTRINSICS_H
#define ME_INTRINSICS_H

#include <stdint.h>

#if defined ME_SDK
#include "me_intrinsics_sdk.h"
#elif defined ME_GAP9
#include "me_intrinsics_gap9.h"
#else
#include "me_intrinsics_c.h"
#endif

#endif
