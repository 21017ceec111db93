// SPDX-License-Identifier: Apache-2.0
// Xpulpv2: scalar arithmetic and bit fields.
#include "handlers.h"

// Leading bits equal to the sign but for the sign itself; 0 of 0.
static inline int redundant_signs(uint32_t v)
{
    const uint32_t differs = (int32_t)v < 0 ? ~v : v;
    if (!v) return 0;
    return differs ? __builtin_clz(differs) - 1 : 31;
}

// The highest signed number of `width` bits; 0 is as 1.
static inline int32_t highest(uint32_t width) { return (int32_t)((1u << (width ? width - 1 : 0)) - 1); }

static inline uint32_t clip(int32_t v, int32_t high)
{
    return (uint32_t)(v < ~high ? ~high : v > high ? high : v);
}

static inline uint32_t clip_unsigned(int32_t v, int32_t high)
{
    return (uint32_t)(v <= 0 ? 0 : v > high ? high : v);
}

// A field of bits is given as its lowest bit (bits 4..0) and its width - 1 (bits 9..5).
static inline uint32_t field(uint32_t where)
{
    const uint32_t width = (where >> 5 & 31) + 1;
    return (uint32_t)((1ull << width) - 1) << (where & 31);
}

static inline uint32_t extract(uint32_t v, uint32_t where)
{
    const uint32_t low = where & 31, width = (where >> 5 & 31) + 1;
    const uint32_t above = low + width < 32 ? 32 - low - width : 0;
    return (uint32_t)((int32_t)(v << above) >> (above + low));
}

static inline uint32_t insert(uint32_t into, uint32_t v, uint32_t where)
{
    return (into & ~field(where)) | (v << (where & 31) & field(where));
}

#include "pulp_alu.def"

#include "rows.h"

static const Row rows[] = {
#include "pulp_alu.def"
};
TABLE(alu);
