/* The GAP SDK compiler's builtins, as functions of sdk_shim.c that have the plain meaning. */
#include <stdint.h>

#define SHIM_2(NAME) uint32_t shim_##NAME(uint32_t a, uint32_t b);
#define SHIM_3(NAME) int32_t shim_##NAME(uint32_t a, uint32_t b, int32_t acc);
/* clang-format off */
#define SHIM_LIST_2(M) \
    M(add4) M(add2) M(sub4) M(sub2) M(min4) M(min2) M(max4) M(max2) M(minu4) M(minu2) M(maxu4) \
    M(maxu2) M(dotsp4) M(dotsp2) M(dotup4) M(dotup2) M(dotusp4) M(dotusp2)
/* clang-format on */
#define SHIM_LIST_3(M) M(sdotsp4) M(sdotsp2) M(sdotup4) M(sdotup2) M(sdotusp4) M(sdotusp2)
SHIM_LIST_2(SHIM_2)
SHIM_LIST_3(SHIM_3)
uint32_t shim_abs4(uint32_t a);
uint32_t shim_abs2(uint32_t a);
int32_t shim_mac(int32_t a, int32_t b, int32_t acc);
int32_t shim_msu(int32_t a, int32_t b, int32_t acc);
int32_t shim_clip(int32_t x, int32_t low, int32_t high);
int32_t shim_addRN(int32_t a, int32_t b, int32_t shift, uint32_t half);
int32_t shim_mulsRN(int32_t a, int32_t b, int32_t shift, uint32_t half);
int32_t shim_macsRN(int32_t a, int32_t b, int32_t acc, int32_t shift, uint32_t half);
int32_t shim_bextract(int32_t x, int32_t size, int32_t at);
uint32_t shim_bextractu(uint32_t x, int32_t size, int32_t at);
uint32_t shim_binsert(uint32_t into, uint32_t keep, uint32_t x, uint32_t mask, int32_t at);
int32_t shim_ff1(uint32_t x);
int32_t shim_fl1(uint32_t x);

#define SHIM_WORD(x) ((uint32_t)(x))
#define __builtin_pulp_add4(a, b) shim_add4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_add2(a, b) shim_add2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_sub4(a, b) shim_sub4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_sub2(a, b) shim_sub2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_min4(a, b) shim_min4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_min2(a, b) shim_min2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_max4(a, b) shim_max4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_max2(a, b) shim_max2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_minu4(a, b) shim_minu4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_minu2(a, b) shim_minu2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_maxu4(a, b) shim_maxu4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_maxu2(a, b) shim_maxu2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_abs4(a) shim_abs4(SHIM_WORD(a))
#define __builtin_pulp_abs2(a) shim_abs2(SHIM_WORD(a))
#define __builtin_pulp_dotsp4(a, b) shim_dotsp4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_dotsp2(a, b) shim_dotsp2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_dotup4(a, b) shim_dotup4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_dotup2(a, b) shim_dotup2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_dotusp4(a, b) shim_dotusp4(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_dotusp2(a, b) shim_dotusp2(SHIM_WORD(a), SHIM_WORD(b))
#define __builtin_pulp_sdotsp4(a, b, c) shim_sdotsp4(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_sdotsp2(a, b, c) shim_sdotsp2(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_sdotup4(a, b, c) shim_sdotup4(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_sdotup2(a, b, c) shim_sdotup2(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_sdotusp4(a, b, c) shim_sdotusp4(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_sdotusp2(a, b, c) shim_sdotusp2(SHIM_WORD(a), SHIM_WORD(b), (c))
#define __builtin_pulp_mac shim_mac
#define __builtin_pulp_msu shim_msu
#define __builtin_pulp_minsi(a, b) ((a) < (b) ? (a) : (b))
#define __builtin_pulp_maxsi(a, b) ((a) > (b) ? (a) : (b))
#define __builtin_pulp_minusi(a, b) ((a) < (b) ? (a) : (b))
#define __builtin_pulp_maxusi(a, b) ((a) > (b) ? (a) : (b))
#define __builtin_pulp_clip shim_clip
#define __builtin_pulp_clipu shim_clip
#define __builtin_pulp_addRN shim_addRN
#define __builtin_pulp_mulsRN shim_mulsRN
#define __builtin_pulp_macsRN shim_macsRN
#define __builtin_pulp_bextract shim_bextract
#define __builtin_pulp_bextractu shim_bextractu
#define __builtin_pulp_binsert shim_binsert
#define __builtin_pulp_ff1 shim_ff1
#define __builtin_pulp_fl1 shim_fl1
#define __builtin_pulp_cnt(x) __builtin_popcount(x)
#define __builtin_pulp_pack2(a, b) ((me_halves){ (a), (b) })
#define __builtin_pulp_pack4(a, b, c, d) ((me_bytes){ (a), (b), (c), (d) })
