/* The shim on the project's own runtime, whose names start with bm_ here. */
#include "shim.h"

#include <stdarg.h>
#include <stdio.h>

#include "firmware/cluster.h"
#include "firmware/host.h"
#include "firmware/l3.h"
#include "firmware/marks.h"
#include "firmware/platform.h"

extern uint32_t bm_stacks[], bm_stack_bytes[]; /* linker script */

void shim_fail(const char *what)
{
    bm_print("the SDK would not take this: ");
    bm_print(what);
    bm_print("\n");
    bm_exit(99);
}

_Noreturn void shim_end(int code) { bm_exit(code); }

static bool inside(uint32_t address, uint32_t bytes, uint32_t from, uint32_t size)
{
    return address >= from && bytes <= size && address - from <= size - bytes;
}

bool shim_in_l1(uint32_t address, uint32_t bytes) { return inside(address, bytes, 0x10000000u, 0x20000u); }

bool shim_in_l2(uint32_t address, uint32_t bytes)
{
    return inside(address, bytes, 0x1C010000u, 0x180000u) || inside(address, bytes, 0x1C000000u, 0x10000u);
}

bool shim_on_fc(void) { return pi_core_id() == 9; }

/* The runtime's own stacks stand for those of the SDK: L1 has no room for both. */
void *shim_l1_room(uint32_t bytes)
{
    return bytes <= 9u * (uint32_t)(uintptr_t)bm_stack_bytes ? bm_stacks : 0;
}

/* ---- the cluster: core 8 runs a task, and the others what it forks */

static volatile struct {
    void (*entry)(void *);
    void *arg, (*task)(void *), *task_arg;
} team ME_L1;

static void member(int32_t core, void *unused)
{
    (void)unused;
    if (core == ME_CONTROL_CORE) {
        team.task(team.task_arg);
        team.entry = 0;
        pi_cl_team_barrier();
        return;
    }
    for (;;) {
        pi_cl_team_barrier();
        if (!team.entry)
            return;
        team.entry(team.arg);
        pi_cl_team_barrier();
    }
}

void shim_run_task(void (*entry)(void *), void *arg)
{
    team.task = entry;
    team.task_arg = arg;
    bm_cluster_run(member, 0);
}

void pi_cl_team_fork_cc(int cores, void (*entry)(void *), void *arg)
{
    shim_check(cores == 9 && pi_core_id() == 8, "a team that is not the whole cluster");
    team.entry = entry;
    team.arg = arg;
    pi_cl_team_barrier();
    entry(arg);
    pi_cl_team_barrier();
}

uint32_t pi_cl_team_barrier_alloc(void) { return 3; }
void pi_cl_team_barrier_free(uint32_t barrier) { shim_check(barrier == 3, "a barrier"); }

void pi_cl_team_barrier_set(uint32_t barrier, uint32_t mask)
{
    ME_REG(ME_BARRIER_TRIGGER_MASK(barrier)) = mask;
    ME_REG(ME_BARRIER_TARGET_MASK(barrier)) = mask;
}

/* ---- transfers */

#define SHIM_COMMANDS 16 /* that the application has */
static const pi_cl_dma_cmd_t *lowest;

void shim_dma_check(uint32_t ext, uint32_t loc, uint32_t size, uint32_t reach, pi_cl_dma_cmd_t *cmd)
{
    shim_check(pi_core_id() == 8, "a transfer by a core that computes");
    shim_check(size > 0 && size < 1u << 17, "a transfer of no size, or too large");
    shim_check(shim_in_l1(loc, size), "a transfer to or from elsewhere than L1");
    shim_check(shim_in_l2(ext, reach), "a transfer to or from elsewhere than L2");
    lowest = !lowest || cmd < lowest ? cmd : lowest;
    shim_check(cmd - lowest < SHIM_COMMANDS, "a command behind the last one");
    shim_check(cmd->under_way != 1, "a command that is in flight already");
    cmd->under_way = 1;
}

void shim_dma_waited(pi_cl_dma_cmd_t *cmd)
{
    shim_check(cmd->under_way == 1, "a wait for what was not started");
    cmd->under_way = 0;
}

uint32_t shim_ram_start(uint32_t offset, uint32_t l2, uint32_t bytes, bool to_l3)
{
    return bm_l3_start(offset, (void *)(uintptr_t)l2, bytes, to_l3 ? ME_L2_TO_L3 : ME_L3_TO_L2);
}

void shim_ram_wait(uint32_t ticket) { bm_l3_wait(ticket); }

/* ---- time, files, serial line, screen */

uint32_t pi_time_get_us(void) { return bm_cycles() / 370u; }

int32_t shim_open(const char *name) { return bm_open(name, ME_READ); }
uint32_t shim_read(int32_t file, void *to, uint32_t bytes) { return bm_read(file, to, bytes); }
void shim_close(int32_t file) { bm_close(file); }

static int32_t line_in, line_out;

void shim_line_open(void)
{
    line_in = bm_open("uart.in", ME_READ);
    line_out = bm_open("uart.out", ME_WRITE);
    shim_check(line_in >= 0 && line_out >= 0, "no files for the line");
}

bool shim_line_read(void *to, uint32_t bytes) { return bm_read(line_in, to, bytes) == bytes; }

void shim_line_write(const void *from, uint32_t bytes)
{
    const uint32_t written = bm_write(line_out, from, bytes);
    shim_check(written == bytes, "the line does not take it");
    (void)written;
}

static void print_byte(uint32_t value)
{
    static const char digits[] = "0123456789abcdef";
    const char text[] = { digits[value >> 4 & 15], digits[value & 15], 0 };
    bm_print(text);
}

/* %s, %02x, %ld and %lu */
int printf(const char *format, ...)
{
    char one[2] = { 0, 0 };
    va_list values;
    va_start(values, format);
    for (; *format; format++) {
        if (*format != '%') {
            one[0] = *format;
            bm_print(one);
        } else if (*++format == 's') {
            bm_print(va_arg(values, const char *));
        } else if (*format == '0') {
            print_byte(va_arg(values, unsigned));
            format += 2;
        } else {
            bm_print_number((int32_t)va_arg(values, unsigned long));
            format++;
        }
    }
    va_end(values);
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}
