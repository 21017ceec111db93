/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation that has a macro, against the function of the same name. */
#include "me_intrinsics.h"

static uint32_t state = 1;
static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

#define DIFFERS(name, ...) (name(__VA_ARGS__) != (name)(__VA_ARGS__))
int main(void)
{
    static const uint32_t ends[] = { 0, 0x80808080u, 0x7F7F7F7Fu, 0x80008000u, 0x7FFF7FFFu, 0xFFFFFFFFu };
    for (int32_t i = 0; i < 4096; i++) {
        const uint32_t a = i < 36 ? ends[i % 6] : draw(), b = i < 36 ? ends[i / 6] : draw();
        const int32_t acc = (int32_t)draw();
        if (DIFFERS(me_sdotsp_b, acc, a, b) || DIFFERS(me_dotsp_b, a, b))
            return 1;
        if (DIFFERS(me_sdotsp_h, acc, a, b) || DIFFERS(me_dotsp_h, a, b))
            return 2;
        if (DIFFERS(me_add_b, a, b) || DIFFERS(me_sub_b, a, b))
            return 3;
        if (DIFFERS(me_add_h, a, b) || DIFFERS(me_sub_h, a, b))
            return 4;
        if (DIFFERS(me_ror, a, b & 31))
            return 5;
    }
    return 0;
}
