/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ME_PLATFORM_H
#define ME_PLATFORM_H

#include <stdint.h>

#include "me_share.h" /* ME_L1, ME_NOINIT */

#define ME_EXIT_FAULT 109 /* the processor faulted, as by an invalid address */

int main(void);

/* Ticks of SysTick since the start, modulo 2**32. */
uint32_t me_ticks(void);

/* Ends the program with an exit code from 0 to 255. */
_Noreturn void me_exit(int32_t code);

#endif
