// SPDX-License-Identifier: Apache-2.0
// Xpulpv2: vectors of two halves or four bytes, lane by lane and among lanes.
#include "handlers.h"

// Lane k of v as a number.
#define LANE_b_S(v, k) (int8_t)((v) >> 8 * (k))
#define LANE_b_U(v, k) (uint8_t)((v) >> 8 * (k))
#define LANE_h_S(v, k) (int16_t)((v) >> 16 * (k))
#define LANE_h_U(v, k) (uint16_t)((v) >> 16 * (k))

static inline uint32_t every_b(uint32_t v) { return (v & 0xff) * 0x01010101u; }
static inline uint32_t every_h(uint32_t v) { return (v & 0xffff) * 0x00010001u; }

static inline int32_t ones(int width) { return (1 << width) - 1; }

// The low bits of v as a signed number.
static inline int32_t narrow(int32_t v, int width)
{
    return (int32_t)((uint32_t)v << (32 - width)) >> (32 - width);
}

#define EACH_LANE(name, size, count, sign, lane) \
    static inline uint32_t name##_##size(uint32_t a, uint32_t b) \
    { \
        enum { lane_bits = 32 / (count) }; \
        uint32_t all = 0; \
        for (int k = 0; k < (count); k++) { \
            const int32_t x = LANE_##size##_##sign(a, k), y = LANE_##size##_##sign(b, k); \
            (void)y; \
            all |= ((uint32_t)(lane) & (uint32_t)ones(lane_bits)) << lane_bits * k; \
        } \
        return all; \
    }

#define VECTOR_OF(name, size, sign, code) \
    ALU(pv_##name##_##size, 0, V, name##_##size(a, b)) \
    ALU(pv_##name##_sc_##size, 0, V, name##_##size(a, every_##size(b))) \
    ALU(pv_##name##_sci_##size, 0, I, name##_##size(a, b))

#define VECTOR(name, code, sign, lane) \
    EACH_LANE(name, h, 2, sign, lane) \
    EACH_LANE(name, b, 4, sign, lane) \
    VECTOR_OF(name, h, sign, code) \
    VECTOR_OF(name, b, sign, code)

EACH_LANE(abs, h, 2, S, x < 0 ? -x : x)
EACH_LANE(abs, b, 4, S, x < 0 ? -x : x)

static inline uint32_t half_of(uint32_t v, uint32_t k) { return v >> 16 * (k & 1) & 0xffff; }
static inline uint32_t byte_of(uint32_t v, uint32_t k) { return v >> 8 * (k & 3) & 0xff; }
static inline uint32_t halves(uint32_t high, uint32_t low) { return high << 16 | low; }

static inline uint32_t bytes(uint32_t b3, uint32_t b2, uint32_t b1, uint32_t b0)
{
    return b3 << 24 | b2 << 16 | b1 << 8 | b0;
}

static inline uint32_t three_bytes(uint32_t v, uint32_t which, uint32_t last)
{
    const uint32_t b2 = byte_of(v, which >> 4), b1 = byte_of(v, which >> 2), b0 = byte_of(v, which);
    return bytes(byte_of(v, last), b2, b1, b0);
}

// A lane of `set` or `clear`, by the bit above the number of the lane.
static inline uint32_t either_half(uint32_t clear, uint32_t set, uint32_t which)
{
    return half_of(which & 2 ? set : clear, which);
}

static inline uint32_t either_byte(uint32_t clear, uint32_t set, uint32_t which)
{
    return byte_of(which & 4 ? set : clear, which);
}

// Lanes that the lanes of `which` name: of v, or of `set` and `clear`.
static inline uint32_t shuffle_h(uint32_t v, uint32_t which)
{
    return halves(half_of(v, which >> 16), half_of(v, which));
}

static inline uint32_t shuffle_b(uint32_t v, uint32_t which)
{
    return bytes(byte_of(v, which >> 24), byte_of(v, which >> 16), byte_of(v, which >> 8), byte_of(v, which));
}

static inline uint32_t shuffle2_h(uint32_t clear, uint32_t set, uint32_t which)
{
    return halves(either_half(clear, set, which >> 16), either_half(clear, set, which));
}

static inline uint32_t shuffle2_b(uint32_t clear, uint32_t set, uint32_t which)
{
    return bytes(either_byte(clear, set, which >> 24), either_byte(clear, set, which >> 16),
                 either_byte(clear, set, which >> 8), either_byte(clear, set, which));
}

static inline uint32_t put(uint32_t into, uint32_t v, uint32_t mask, uint32_t at)
{
    return (into & ~(mask << at)) | (v & mask) << at;
}

#include "pulp_simd.def"

#include "rows.h"
#undef VECTOR_OF
#undef VECTOR
#define WORD(code, size) ((uint32_t)(code) << 26 | 0x57 | (size))
#define VECTOR_OF(name, letter, sign, code, bit) \
    ROW(pv_##name##_##letter, WORD(code, bit), V, PROMPT) \
    ROW(pv_##name##_sc_##letter, WORD(code, 0x4000 | bit), V, PROMPT) \
    ROW(pv_##name##_sci_##letter, WORD(code, 0x6000 | bit), V##sign##_##letter, PROMPT)
#define VECTOR(name, code, sign, lane) \
    VECTOR_OF(name, h, sign, code, 0) \
    VECTOR_OF(name, b, sign, code, 0x1000)

static const Row rows[] = {
#include "pulp_simd.def"
};
TABLE(simd);
