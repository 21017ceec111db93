/* SPDX-License-Identifier: Apache-2.0
 * Vectors, and the way from reset to main.
 */
    .syntax unified
    .thumb

    .section .vectors, "a"
    .word me_stack_end
    .word me_reset
    .rept 13
    .word me_fault
    .endr
    .word me_tick

    .section .text.start, "ax"
    .globl _start
_start:
    .globl me_reset
    .thumb_func
    .type me_reset, %function
me_reset:
    ldr r0, =0xE000ED88             /* CPACR: the unit of floating point and vectors */
    ldr r1, [r0]
    orr r1, r1, #0x00F00000
    str r1, [r0]
#ifndef __ARM_FEATURE_UNALIGNED
    ldr r0, =0xE000ED14             /* CCR: unaligned accesses are faults */
    ldr r1, [r0]
    orr r1, r1, #8
    str r1, [r0]
#endif
    dsb
    isb
    ldr r0, =me_data_start
    ldr r1, =me_data_end
    ldr r2, =me_data_stored
1:  cmp r0, r1
    bhs 2f
    ldr r3, [r2], #4
    str r3, [r0], #4
    b 1b
2:  ldr r0, =me_bss_start
    ldr r1, =me_bss_end
    movs r2, #0
3:  cmp r0, r1
    bhs 4f
    str r2, [r0], #4
    b 3b
4:  bl me_clock_start
    bl main
    b me_exit
    .size me_reset, . - me_reset

    .thumb_func
    .type me_fault, %function
me_fault:
    movs r0, #109                   /* ME_EXIT_FAULT */
    mov r1, sp
    ldr r2, =me_stack
    cmp r1, r2
    bhs 5f
    movs r0, #101                   /* ME_EXIT_STACK */
5:  ldr r1, =me_stack_end
    mov sp, r1
    b me_exit
    .size me_fault, . - me_fault

/* int32_t me_semihost(int32_t operation, const void *argument) */
    .section .text.me_semihost, "ax"
    .globl me_semihost
    .thumb_func
    .type me_semihost, %function
me_semihost:
    bkpt #0xab
    bx lr
    .size me_semihost, . - me_semihost
