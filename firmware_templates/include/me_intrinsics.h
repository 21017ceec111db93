/* SPDX-License-Identifier: Apache-2.0
 * One name for each instruction that kernels use, with three implementations:
 *   me_intrinsics_c.h     plain C, the reference, for any machine
 *   me_intrinsics_gap9.h  encodings for GAP9's cores, by any RISC-V compiler (-DME_GAP9)
 *   me_intrinsics_sdk.h   builtins of the GAP SDK's compiler (-DME_SDK)
 * Tests compare them on random values. Instructions for which the chip and its simulators are known to
 * differ (shuffles of two words, normalised 0 shifts, ...) are not included.
 *
 * A word holds four bytes (_b) or two halves (_h), the first one in the lowest bits.
 *
 *   me_dotsp, me_dotup, me_dotusp   sum of products: both signed, both unsigned, the first unsigned
 *   me_sdotsp, me_sdotup, me_sdotusp(acc, a, b)   the same, added to acc
 *   me_add, me_sub, me_min, me_max, me_minu, me_maxu, me_abs of _b and _h   wrap around
 *   me_sra_b, me_sra_h(a, n)   each element of a >> the same element of n, arithmetic; n 0 .. 7, 0 .. 15
 *   me_pack_h(low, high), me_pack_b(b0, b1, b2, b3)   words of the lowest bits of the arguments
 *   me_mac(acc, a, b), me_msu(acc, a, b)   acc + a * b, acc - a * b, modulo 2**32
 *   me_min, me_max, me_minu, me_maxu, me_abs   of one int32 value
 *   me_clips(x, bits)   limited to -2**(bits-1) .. 2**(bits-1)-1, bits 1 .. 31, a constant
 *   me_clipu(x, bits)   limited to 0 .. 2**bits-1, bits 0 .. 30, a constant
 *   me_addRN(a, b, shift)   (a + b + 2**(shift-1)) >> shift; shift 1 .. 31, a constant
 *   me_mulsRN(a, b, shift)  (a * b + 2**(shift-1)) >> shift of the lower halves, signed
 *   me_macsRN(acc, a, b, shift)   (acc + a * b + 2**(shift-1)) >> shift, likewise; for these two, the
 *                    sum must stay inside int32, because simulators differ if it overflows
 *   me_extract(x, size, at), me_extractu   `size` bits from bit `at`, constants, size + at <= 32
 *   me_insert(into, x, size, at)           `into` with its bits from bit `at` on replaced by the lowest of x
 *   me_exths, me_exthz, me_extbs, me_extbz   the lower half or byte, sign-extended or zero-extended
 *   me_ff1, me_fl1   index of the lowest, highest set bit; 32 if there is none
 *   me_cnt           number of set bits         me_ror(x, n)   rotated right, n 0 .. 31
 *   me_next_b, _bu, _h, _hu, _w(&pointer)         loads, then advances the pointer by one element
 *   me_step_b, _h, _w(&pointer, bytes)            loads, then advances the pointer by `bytes` bytes
 *   me_at_b, _bu(middle, at)   entry `at`, -128 .. 127, of a 256-entry table; middle: its entry for 0
 *   me_put_b, _h, _w(&pointer, x)                 stores, then advances the pointer by one element
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
