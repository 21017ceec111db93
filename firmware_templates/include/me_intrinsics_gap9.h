/* SPDX-License-Identifier: Apache-2.0
 * The operations of me_intrinsics.h as instructions of GAP9's cores (Xpulpv2), for any RISC-V compiler:
 * as .insn; as .word (-DME_XPULP_WORD), for assemblers without .insn (GNU binutils before 2.31, so the
 * GAP SDK's); or by the mnemonics of that assembler (-DME_XPULP_NATIVE).
 */
#ifndef ME_INTRINSICS_GAP9_H
#define ME_INTRINSICS_GAP9_H

#include <stdint.h>

/* An instruction given by its mnemonic with operands, or by its fields with formats of .insn. */
#if defined ME_XPULP_NATIVE
#define ME_XPULP_R(NATIVE, OPCODE, F3, F7, RD, RS1, RS2) NATIVE
#define ME_XPULP_I(NATIVE, OPCODE, F3, RD, RS1, OFFSET) NATIVE
#define ME_XPULP_S(NATIVE, OPCODE, F3, RS2, RS1, OFFSET) NATIVE
#elif defined ME_XPULP_WORD
#include "me_register_numbers.h"
#define ME_SET_NUMBER(NUMBER, NAME) \
    ".set .Lnumber_x" #NUMBER "," #NUMBER "\n.set .Lnumber_" #NAME "," #NUMBER "\n"
__asm__(ME_REGISTER_NUMBERS(ME_SET_NUMBER));
#define ME_NUMBERED(OPCODE, F3, RS1) ".word " OPCODE "|" F3 "<<12|.Lnumber_" RS1 "<<15|.Lnumber_"
#define ME_XPULP_R(NATIVE, OPCODE, F3, F7, RD, RS1, RS2) \
    ME_NUMBERED(OPCODE, F3, RS1) RD "<<7|.Lnumber_" RS2 "<<20|(" F7 ")<<25"
#define ME_XPULP_I(NATIVE, OPCODE, F3, RD, RS1, OFFSET) ME_NUMBERED(OPCODE, F3, RS1) RD "<<7|" OFFSET "<<20"
#define ME_XPULP_S(NATIVE, OPCODE, F3, RS2, RS1, OFFSET) ME_NUMBERED(OPCODE, F3, RS1) RS2 "<<20|" OFFSET "<<7"
#else
#define ME_XPULP_R(NATIVE, OPCODE, F3, F7, RD, RS1, RS2) \
    ".insn r " OPCODE "," F3 "," F7 "," RD "," RS1 "," RS2
#define ME_XPULP_I(NATIVE, OPCODE, F3, RD, RS1, OFFSET) ".insn i " OPCODE "," F3 "," RD "," RS1 "," OFFSET
#define ME_XPULP_S(NATIVE, OPCODE, F3, RS2, RS1, OFFSET) \
    ".insn s " OPCODE "," F3 "," RS2 "," OFFSET "(" RS1 ")"
#endif

/* x = OP(a), OP(a, b), OP(x, a, b). Not volatile: they have no side effects, so that compilers may move
 * and merge them. */
#define ME_ONE(NATIVE, NAME, TYPE, FROM, OPCODE, F3, F7) \
    static inline TYPE NAME(FROM a) \
    { \
        TYPE x; \
        __asm__(ME_XPULP_R(NATIVE " %0,%1", #OPCODE, #F3, #F7, "%0", "%1", "x0") : "=r"(x) : "r"(a)); \
        return x; \
    }
#define ME_TWO(NATIVE, NAME, TYPE, FROM, OPCODE, F3, F7) \
    static inline TYPE NAME(FROM a, FROM b) \
    { \
        TYPE x; \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2", #OPCODE, #F3, #F7, "%0", "%1", "%2") \
                : "=r"(x) \
                : "r"(a), "r"(b)); \
        return x; \
    }
#define ME_THREE(NATIVE, NAME, TYPE, FROM, OPCODE, F3, F7) \
    static inline TYPE NAME(TYPE x, FROM a, FROM b) \
    { \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2", #OPCODE, #F3, #F7, "%0", "%1", "%2") \
                : "+r"(x) \
                : "r"(a), "r"(b)); \
        return x; \
    }
#define ME_BOTH(SHAPE, NATIVE, NAME, TYPE, F7) \
    SHAPE(NATIVE ".h", NAME##_h, TYPE, uint32_t, 0x57, 0, F7) \
    SHAPE(NATIVE ".b", NAME##_b, TYPE, uint32_t, 0x57, 1, F7)

/* The casts are needed because a compiler may leave the upper bits of a narrow operand undefined. p.clip,
 * p.clipu: the operand is the exponent of the upper limit plus 1. */
#define ME_IMMEDIATE(NATIVE, OPCODE, F3, F7, TYPE, x, number) \
    __extension__({ \
        TYPE me_x_; \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2", #OPCODE, #F3, #F7, "%0", "%1", "x%2") \
                : "=r"(me_x_) \
                : "r"((TYPE)(x)), "i"(number)); \
        me_x_; \
    })

/* p.addRN, p.mulsRN, p.macsRN: the shift is in the lower bits of field F7. */
#define ME_ROUNDED(NATIVE, OPCODE, F3, F7, TYPE, a, b, shift) \
    __extension__({ \
        TYPE me_x_; \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2,%3", #OPCODE, #F3, #F7 "|%3", "%0", "%1", "%2") \
                : "=r"(me_x_) \
                : "r"((TYPE)(a)), "r"((TYPE)(b)), "i"(shift)); \
        me_x_; \
    })
#define ME_ROUNDED_INTO(NATIVE, OPCODE, F3, F7, TYPE, acc, a, b, shift) \
    __extension__({ \
        TYPE me_x_ = (acc); \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2,%3", #OPCODE, #F3, #F7 "|%3", "%0", "%1", "%2") \
                : "+r"(me_x_) \
                : "r"((TYPE)(a)), "r"((TYPE)(b)), "i"(shift)); \
        me_x_; \
    })

/* p.extract, p.extractu, p.insert: size - 1 in the lower bits of F7, position as second operand */
#define ME_FIELD(NATIVE, OPCODE, F3, F7, TYPE, x, size, at) \
    __extension__({ \
        TYPE me_x_; \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2,%3", #OPCODE, #F3, #F7 "|%2", "%0", "%1", "x%3") \
                : "=r"(me_x_) \
                : "r"((TYPE)(x)), "i"((size) - 1), "i"(at)); \
        me_x_; \
    })
#define ME_FIELD_INTO(NATIVE, OPCODE, F3, F7, TYPE, into, x, size, at) \
    __extension__({ \
        TYPE me_x_ = (into); \
        __asm__(ME_XPULP_R(NATIVE " %0,%1,%2,%3", #OPCODE, #F3, #F7 "|%2", "%0", "%1", "x%3") \
                : "+r"(me_x_) \
                : "r"((TYPE)(x)), "i"((size) - 1), "i"(at)); \
        me_x_; \
    })

/* ---- memory: p.lb ... p.sw with post-increment. The "m" constraint names the bytes that they access; for
 * a table only its upper half, as compilers would otherwise keep a second address of the table in a
 * register. */

#define ME_SPAN(TYPE, pointer, bytes) (*(TYPE(*)[bytes])(uintptr_t)(pointer))

#define ME_NEXT(NATIVE, NAME, TYPE, F3, BYTES) \
    static inline TYPE NAME(const int8_t **at) \
    { \
        const int8_t *p = *at; \
        TYPE x; \
        __asm__(ME_XPULP_I(NATIVE " %0," #BYTES "(%1!)", "0x0b", #F3, "%0", "%1", #BYTES) \
                : "=&r"(x), "+r"(p) \
                : "m"(ME_SPAN(const int8_t, *at, BYTES))); \
        *at = p; \
        return x; \
    }

#define ME_STEP(NATIVE, NAME, TYPE, F7, BYTES) \
    static inline TYPE NAME(const int8_t **at, int32_t bytes) \
    { \
        const int8_t *p = *at; \
        TYPE x; \
        __asm__(ME_XPULP_R(NATIVE " %0,%2(%1!)", "0x0b", "7", #F7, "%0", "%1", "%2") \
                : "=&r"(x), "+r"(p) \
                : "r"(bytes), "m"(ME_SPAN(const int8_t, *at, BYTES))); \
        *at = p; \
        return x; \
    }

#define ME_AT(NATIVE, NAME, TYPE, F7, BYTES) \
    static inline TYPE NAME(const void *middle, int32_t at) \
    { \
        TYPE x; \
        __asm__(ME_XPULP_R(NATIVE " %0,%2(%1)", "0x03", "7", #F7, "%0", "%1", "%2") \
                : "=r"(x) \
                : "r"(middle), "r"(at), "m"(ME_SPAN(const int8_t, middle, 128 * BYTES))); \
        return x; \
    }

#define ME_PUT(NATIVE, NAME, TYPE, F3, BYTES) \
    static inline void NAME(int8_t **at, TYPE x) \
    { \
        int8_t *p = *at; \
        __asm__(ME_XPULP_S(NATIVE " %2," #BYTES "(%0!)", "0x2b", #F3, "%2", "%0", #BYTES) \
                : "+r"(p), "=m"(ME_SPAN(int8_t, *at, BYTES)) \
                : "r"(x)); \
        *at = p; \
    }

/* generated from xpulp/instructions.toml by tests/isa/xpulp.py */
ME_THREE("p.mac", me_mac, int32_t, int32_t, 0x33, 0, 0x21)
ME_THREE("p.msu", me_msu, int32_t, int32_t, 0x33, 1, 0x21)
ME_TWO("p.min", me_min, int32_t, int32_t, 0x33, 4, 0x02)
ME_TWO("p.minu", me_minu, uint32_t, uint32_t, 0x33, 5, 0x02)
ME_TWO("p.max", me_max, int32_t, int32_t, 0x33, 6, 0x02)
ME_TWO("p.maxu", me_maxu, uint32_t, uint32_t, 0x33, 7, 0x02)
ME_ONE("p.abs", me_abs, int32_t, int32_t, 0x33, 0, 0x02)
ME_ONE("p.ff1", me_ff1, int32_t, uint32_t, 0x33, 0, 0x08)
ME_ONE("p.fl1", me_fl1, int32_t, uint32_t, 0x33, 1, 0x08)
ME_ONE("p.cnt", me_cnt, int32_t, uint32_t, 0x33, 3, 0x08)
ME_ONE("p.exths", me_exths, int32_t, int32_t, 0x33, 4, 0x08)
ME_ONE("p.exthz", me_exthz, int32_t, int32_t, 0x33, 5, 0x08)
ME_ONE("p.extbs", me_extbs, int32_t, int32_t, 0x33, 6, 0x08)
ME_ONE("p.extbz", me_extbz, int32_t, int32_t, 0x33, 7, 0x08)
ME_TWO("p.ror", me_ror, uint32_t, uint32_t, 0x33, 5, 0x04)
#define me_clips(a, n) ME_IMMEDIATE("p.clip", 0x33, 1, 0x0a, int32_t, a, n)
#define me_clipu(a, bits) ME_IMMEDIATE("p.clipu", 0x33, 2, 0x0a, int32_t, a, ((bits) + 1))
#define me_addRN(a, b, n) ME_ROUNDED("p.addRN", 0x5b, 6, 0x00, int32_t, a, b, n)
#define me_mulsRN(a, b, n) ME_ROUNDED("p.mulsRN", 0x5b, 4, 0x40, int32_t, a, b, n)
#define me_macsRN(acc, a, b, n) ME_ROUNDED_INTO("p.macsRN", 0x5b, 5, 0x40, int32_t, acc, a, b, n)
#define me_extract(a, size, at) ME_FIELD("p.extract", 0x33, 0, 0x60, int32_t, a, size, at)
#define me_extractu(a, size, at) ME_FIELD("p.extractu", 0x33, 1, 0x60, uint32_t, a, size, at)
#define me_insert(acc, a, size, at) ME_FIELD_INTO("p.insert", 0x33, 2, 0x60, uint32_t, acc, a, size, at)
ME_BOTH(ME_TWO, "pv.add", me_add, uint32_t, 0x00)
ME_BOTH(ME_TWO, "pv.sub", me_sub, uint32_t, 0x04)
ME_BOTH(ME_TWO, "pv.min", me_min, uint32_t, 0x10)
ME_BOTH(ME_TWO, "pv.minu", me_minu, uint32_t, 0x14)
ME_BOTH(ME_TWO, "pv.max", me_max, uint32_t, 0x18)
ME_BOTH(ME_TWO, "pv.maxu", me_maxu, uint32_t, 0x1c)
ME_BOTH(ME_TWO, "pv.sra", me_sra, uint32_t, 0x24)
ME_BOTH(ME_ONE, "pv.abs", me_abs, uint32_t, 0x38)
ME_BOTH(ME_TWO, "pv.dotup", me_dotup, int32_t, 0x40)
ME_BOTH(ME_TWO, "pv.dotusp", me_dotusp, int32_t, 0x44)
ME_BOTH(ME_TWO, "pv.dotsp", me_dotsp, int32_t, 0x4c)
ME_BOTH(ME_THREE, "pv.sdotup", me_sdotup, int32_t, 0x50)
ME_BOTH(ME_THREE, "pv.sdotusp", me_sdotusp, int32_t, 0x54)
ME_BOTH(ME_THREE, "pv.sdotsp", me_sdotsp, int32_t, 0x5c)
#define ME_PV_SHUFFLE_B ME_XPULP_R("pv.shuffle.b %0,%1,%2", "0x57", "1", "0x60", "%0", "%1", "%2")
#define ME_PV_SHUFFLE2_B ME_XPULP_R("pv.shuffle2.b %0,%1,%2", "0x57", "1", "0x64", "%0", "%1", "%2")
#define ME_PV_PACK_H ME_XPULP_R("pv.pack.h %0,%1,%2", "0x57", "0", "0x68", "%0", "%1", "%2")
#define ME_PV_PACKHI_B ME_XPULP_R("pv.packhi.b %0,%1,%2", "0x57", "1", "0x6c", "%0", "%1", "%2")
#define ME_PV_PACKLO_B ME_XPULP_R("pv.packlo.b %0,%1,%2", "0x57", "1", "0x70", "%0", "%1", "%2")
ME_NEXT("p.lb", me_next_b, int32_t, 0, 1)
ME_NEXT("p.lh", me_next_h, int32_t, 1, 2)
ME_NEXT("p.lw", me_next_w, uint32_t, 2, 4)
ME_NEXT("p.lbu", me_next_bu, int32_t, 4, 1)
ME_NEXT("p.lhu", me_next_hu, int32_t, 5, 2)
ME_STEP("p.lb", me_step_b, int32_t, 0x00, 1)
ME_STEP("p.lh", me_step_h, int32_t, 0x08, 2)
ME_STEP("p.lw", me_step_w, uint32_t, 0x10, 4)
ME_AT("p.lb", me_at_b, int32_t, 0x00, 1)
ME_AT("p.lbu", me_at_bu, int32_t, 0x20, 1)
ME_PUT("p.sb", me_put_b, int32_t, 0, 1)
ME_PUT("p.sh", me_put_h, int32_t, 1, 2)
ME_PUT("p.sw", me_put_w, uint32_t, 2, 4)
/* end of what is generated */

static inline uint32_t me_pack_h(int32_t low, int32_t high)
{
    uint32_t x;
    __asm__(ME_PV_PACK_H : "=r"(x) : "r"(high), "r"(low));
    return x;
}

static inline uint32_t me_pack_b(int32_t b0, int32_t b1, int32_t b2, int32_t b3)
{
    uint32_t x = 0;
    __asm__(ME_PV_PACKLO_B : "+r"(x) : "r"(b1), "r"(b0));
    __asm__(ME_PV_PACKHI_B : "+r"(x) : "r"(b3), "r"(b2));
    return x;
}

#endif
