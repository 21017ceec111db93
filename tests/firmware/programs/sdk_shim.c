/* What the GAP SDK's manual says of the builtins, by the plain body of the intrinsics. */
#include "me_intrinsics_c.h"

#include "sdk_shim.h"

#define LANES(NAME) \
    uint32_t shim_##NAME##4(uint32_t a, uint32_t b) { return (uint32_t)me_##NAME##_b(a, b); } \
    uint32_t shim_##NAME##2(uint32_t a, uint32_t b) { return (uint32_t)me_##NAME##_h(a, b); }
#define SUMS(NAME) \
    int32_t shim_##NAME##4(uint32_t a, uint32_t b, int32_t acc) { return me_##NAME##_b(acc, a, b); } \
    int32_t shim_##NAME##2(uint32_t a, uint32_t b, int32_t acc) { return me_##NAME##_h(acc, a, b); }

/* clang-format off */
LANES(add) LANES(sub) LANES(min) LANES(max) LANES(minu) LANES(maxu)
LANES(dotsp) LANES(dotup) LANES(dotusp)
SUMS(sdotsp) SUMS(sdotup) SUMS(sdotusp)

uint32_t shim_abs4(uint32_t a) { return me_abs_b(a); }
uint32_t shim_abs2(uint32_t a) { return me_abs_h(a); }
int32_t shim_mac(int32_t a, int32_t b, int32_t acc) { return me_mac(acc, a, b); }
int32_t shim_msu(int32_t a, int32_t b, int32_t acc) { return me_msu(acc, a, b); }
int32_t shim_clip(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

int32_t shim_addRN(int32_t a, int32_t b, int32_t shift, uint32_t half)
{
    return half == 1u << (shift - 1) ? me_addRN(a, b, shift) : -1;
}

int32_t shim_mulsRN(int32_t a, int32_t b, int32_t shift, uint32_t half)
{
    return half == 1u << (shift - 1) ? me_mulsRN(a, b, shift) : -1;
}

int32_t shim_macsRN(int32_t a, int32_t b, int32_t acc, int32_t shift, uint32_t half)
{
    return half == 1u << (shift - 1) ? me_macsRN(acc, a, b, shift) : -1;
}

int32_t shim_bextract(int32_t x, int32_t size, int32_t at) { return me_extract(x, size, at); }
uint32_t shim_bextractu(uint32_t x, int32_t size, int32_t at) { return me_extractu(x, size, at); }

uint32_t shim_binsert(uint32_t into, uint32_t keep, uint32_t x, uint32_t mask, int32_t at)
{
    return (into & keep) | (x << at & mask);
}

int32_t shim_ff1(uint32_t x) { return me_ff1(x); }
int32_t shim_fl1(uint32_t x) { return me_fl1(x); }
