/* SPDX-License-Identifier: Apache-2.0
 * Entry point of every core. Harts 0 .. 8 are the cluster's cores, any other hart is the fabric controller.
 */
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    csrr a0, mhartid
    li t0, 9
    bltu a0, t0, .Lcluster

    la sp, me_fc_stack_end
    la t0, me_bss_start
    la t1, me_bss_end
.Lzero:
    bgeu t0, t1, .Lzeroed
    sw zero, 0(t0)
    addi t0, t0, 4
    j .Lzero
.Lzeroed:
    call me_fabric_controller       /* does not return */

.Lcluster:                          /* core i: its stack ends where that of core i + 1 starts */
    la sp, me_stacks
    addi t1, a0, 1
    la t2, me_stack_bytes
    mul t1, t1, t2
    add sp, sp, t1
    call me_cluster_core            /* does not return */
    .size _start, . - _start

/* int32_t me_semihost(int32_t operation, const void *argument): the debugger or simulator recognises the
 * call by the two instructions around ebreak. */
    .section .text.me_semihost, "ax"
    .globl me_semihost
    .type me_semihost, @function
me_semihost:
    .option push
    .option norvc
    slli x0, x0, 0x1f
    ebreak
    srai x0, x0, 7
    .option pop
    ret
    .size me_semihost, . - me_semihost
