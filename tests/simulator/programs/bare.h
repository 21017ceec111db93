/* SPDX-License-Identifier: Apache-2.0
 * What the programs of tests/simulator share: registers, a table of interrupts, words to look at.
 */
#pragma once
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define ITC 0x1A109000u
#define FC_TIMER 0x1A10B000u
#define SOC_EVENTS 0x1A106000u
#define GPIO 0x1A101000u
#define UDMA 0x1A102000u
#define CHANNEL(n) (0x1A103000u + 0x20u * (n))
#define CSR_READ(name) \
    ({ \
        uint32_t csr_; \
        __asm__ volatile("csrr %0, " #name : "=r"(csr_)); \
        csr_; \
    })
#define INTERRUPTS_ON() __asm__ volatile("csrsi mstatus, 8" ::: "memory")
#define INTERRUPTS_OFF() __asm__ volatile("csrci mstatus, 8" ::: "memory")
#define WFI() __asm__ volatile("wfi" ::: "memory")
#define HANDLER __attribute__((interrupt, used))

extern volatile uint32_t notes[64]; /* the test looks at them by the symbol's address */
void vectors(void);

static inline void use_vectors(void) { __asm__ volatile("csrw mtvec, %0" ::"r"(vectors)); }
static inline uint32_t cycle(void) { return CSR_READ(mcycle); }

/* Handlers by line: those that a program does not define are `stray`. */
#define NOTES_AND_VECTORS \
    volatile uint32_t notes[64]; \
    HANDLER void stray(void) { notes[63] = CSR_READ(mcause); } \
    __asm__(".section .text.vectors, \"ax\"\n" \
            ".balign 256\n.globl vectors\nvectors:\n" \
            ".option push\n.option norvc\n.option norelax\n" \
            ".set line, 0\n.rept 32\n" \
            "j on_any\n.endr\n.option pop\n.text\n");
