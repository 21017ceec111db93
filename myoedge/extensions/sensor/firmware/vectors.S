/* SPDX-License-Identifier: Apache-2.0
 * Interrupt n of the fabric controller jumps to the n-th word; all lead to one handler in C, which
 * finds n in mcause.
 */
    .section .text.me_vectors, "ax"
    .balign 256
    .globl me_vectors
    .type me_vectors, @function
me_vectors:
    .option push
    .option norvc
    .rept 32
    j me_port_interrupt
    .endr
    .option pop
    .size me_vectors, . - me_vectors
