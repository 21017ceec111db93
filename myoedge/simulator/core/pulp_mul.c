// SPDX-License-Identifier: Apache-2.0
// Xpulpv2: multiply-accumulate, and 16-bit products and sums that are shifted right. All sums,
// that with the rounding included, wrap at 32 bits before they are shifted, as in the RI5CY core.
#include "handlers.h"

static inline uint32_t logical(uint32_t v, uint32_t shift) { return v >> shift; }
static inline uint32_t arithmetic(uint32_t v, uint32_t shift) { return (uint32_t)((int32_t)v >> shift); }

// What rounding adds before a shift.
static inline uint32_t half(uint32_t shift) { return 1u << shift >> 1; }

// Products of the lower or upper halves.
static inline uint32_t s(uint32_t a, uint32_t b) { return (uint32_t)((int16_t)a * (int16_t)b); }
static inline uint32_t u(uint32_t a, uint32_t b) { return (a & 0xffff) * (b & 0xffff); }
static inline uint32_t hhs(uint32_t a, uint32_t b) { return s(a >> 16, b >> 16); }
static inline uint32_t hhu(uint32_t a, uint32_t b) { return u(a >> 16, b >> 16); }

#include "pulp_mul.def"

#include "rows.h"

static const Row rows[] = {
#include "pulp_mul.def"
};
TABLE(products);
