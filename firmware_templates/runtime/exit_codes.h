/* SPDX-License-Identifier: Apache-2.0
 * Exit codes of a program other than 0.
 */
#ifndef ME_EXIT_CODES_H
#define ME_EXIT_CODES_H

#define ME_EXIT_STACK 101       /* a stack overflowed */
#define ME_EXIT_NO_INPUT 102    /* input.bin is missing or unreadable */
#define ME_EXIT_SHORT_INPUT 103 /* input.bin does not contain a whole number of inputs */
#define ME_EXIT_NO_OUTPUT 104   /* output.bin or cycles.bin cannot be written */
#define ME_EXIT_CLOCK 105       /* the clock generator does not lock */
#define ME_EXIT_L3 106          /* l3.bin is missing or too short */
#define ME_EXIT_CHECK 107       /* code or constants have changed */
#define ME_EXIT_MRAM 108        /* weights in the flash on the chip are missing or damaged */

#endif
