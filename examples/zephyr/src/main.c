/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the golden sample of the build, and compares its result. */
#include <string.h>
#include <zephyr/kernel.h>

#include "golden.h"
#include "network.h"

_Static_assert(ME_INPUTS == 1 && ME_OUTPUTS == 1, "pass all inputs and outputs, as src/selftest.c does");

static _Alignas(8) int8_t output[ME_OUTPUT0_BYTES];

int main(void)
{
    const void *const in[] = { golden_input0 };
    void *const out[] = { output };
    const uint32_t before = k_cycle_get_32();
    const int status = me_run(in, out);
    const uint32_t cycles = k_cycle_get_32() - before;
    const int wrong = status != 0 || memcmp(output, golden_output0, sizeof output) != 0;
    printk("%s, %u cycles\n", wrong ? "WRONG" : "exact, bit for bit", (unsigned)cycles);
    return wrong;
}
