/* The shim on this machine: nine threads are the cluster, the serial line is the file $SHIM_LINE.
 * A transfer does its work when it is waited for, and spoils its target before. The program is
 * linked so that all its addresses have 32 bits. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { CORES = 9, STEERING = 8, FC = 9, SPOILT = 0x55 };

extern char __start_pi_l1[], __stop_pi_l1[], __ehdr_start[], _end[];

static __thread uint32_t core = FC;
static uint8_t ram[SHIM_RAM_BYTES];
static PI_L1 _Alignas(8) uint8_t l1_room[16 << 10];

void shim_fail(const char *what)
{
    fprintf(stderr, "the SDK would not take this: %s\n", what);
    _exit(99);
}

_Noreturn void shim_end(int code)
{
    fflush(stdout);
    _exit(code);
}

static uint32_t number(const char *pointer) { return (uint32_t)(uintptr_t)pointer; }

bool shim_in_l1(uint32_t address, uint32_t bytes)
{
    return address >= number(__start_pi_l1) && address + bytes <= number(__stop_pi_l1);
}

/* Whatever the program has and is not L1: stacks and the heap are not inside. */
bool shim_in_l2(uint32_t address, uint32_t bytes)
{
    const bool ours = address >= number(__ehdr_start) && address + bytes <= number(_end);
    return ours && (address + bytes <= number(__start_pi_l1) || address >= number(__stop_pi_l1));
}

bool shim_on_fc(void) { return core == FC; }
uint32_t pi_core_id(void) { return core; }
void *shim_l1_room(uint32_t bytes) { return bytes <= sizeof l1_room ? l1_room : 0; }

/* ---- the cluster */

static pthread_barrier_t barriers[2]; /* of all, of the workers */
static void (*team_entry)(void *);
static void *team_arg;

typedef struct {
    void (*entry)(void *);
    void *arg;
    uint32_t core;
} job;

static void *worker(void *given)
{
    core = ((job *)given)->core;
    pi_cl_team_barrier();
    if (team_entry)
        team_entry(team_arg);
    pi_cl_team_barrier();
    return 0;
}

static void *steering(void *given)
{
    const job *mine = given;
    core = STEERING;
    mine->entry(mine->arg);
    return 0;
}

void shim_run_task(void (*entry)(void *), void *arg)
{
    pthread_t threads[CORES];
    job jobs[CORES];
    team_entry = 0;
    pthread_barrier_init(&barriers[0], 0, CORES);
    pthread_barrier_init(&barriers[1], 0, CORES - 1);
    for (uint32_t i = 0; i < CORES; i++) {
        jobs[i] = (job){ entry, arg, i };
        pthread_create(&threads[i], 0, i == STEERING ? steering : worker, &jobs[i]);
    }
    for (uint32_t i = 0; i < CORES; i++)
        pthread_join(threads[i], 0);
}

void pi_cl_team_fork_cc(int cores, void (*entry)(void *), void *arg)
{
    shim_check(cores == CORES && core == STEERING, "a team that is not the whole cluster");
    team_entry = entry;
    team_arg = arg;
    pi_cl_team_barrier();
    entry(arg);
    pi_cl_team_barrier();
}

void pi_cl_team_barrier(void) { pthread_barrier_wait(&barriers[0]); }
uint32_t pi_cl_team_barrier_alloc(void) { return 1; }
void pi_cl_team_barrier_free(uint32_t barrier) { shim_check(barrier == 1, "a barrier"); }

void pi_cl_team_barrier_set(uint32_t barrier, uint32_t mask)
{
    shim_check(barrier == 1 && mask == 0xFF, "a barrier of other cores");
}

void pi_cl_team_barrier_wait(uint32_t barrier)
{
    shim_check(barrier == 1 && core < STEERING, "a barrier of other cores");
    pthread_barrier_wait(&barriers[1]);
}

uint32_t shim_cycles(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000000000 + now.tv_nsec);
}

uint32_t pi_time_get_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

/* ---- DMA */

static struct {
    pi_cl_dma_cmd_t *cmd;
    uint32_t ext, loc, size, stride, length;
    pi_cl_dma_dir_e dir;
} dma[16];

static uint8_t *at(uint32_t address) { return (uint8_t *)(uintptr_t)address; }

static void each_line(uint32_t slot, bool spoil)
{
    const bool in = dma[slot].dir == PI_CL_DMA_DIR_EXT2LOC;
    for (uint32_t done = 0, line = 0; done < dma[slot].size; done += dma[slot].length, line++) {
        const uint32_t left = dma[slot].size - done;
        const uint32_t bytes = left < dma[slot].length ? left : dma[slot].length;
        uint8_t *loc = at(dma[slot].loc + done), *ext = at(dma[slot].ext + line * dma[slot].stride);
        if (spoil)
            memset(in ? loc : ext, SPOILT, bytes);
        else
            memcpy(in ? loc : ext, in ? ext : loc, bytes);
    }
}

void pi_cl_dma_cmd_2d(uint32_t ext, uint32_t loc, uint32_t size, uint32_t stride, uint32_t length,
                      pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd)
{
    uint32_t slot = 0;
    while (slot < 16 && dma[slot].cmd)
        slot++;
    shim_check(slot < 16, "more transfers than the DMA has numbers");
    shim_check(core == STEERING, "a transfer by a core that computes");
    shim_check(size > 0 && size < 1u << 17 && length > 0, "a transfer of no size, or too large");
    shim_check(shim_in_l1(loc, size), "a transfer to or from elsewhere than L1");
    shim_check(shim_in_l2(ext, (size - 1) / length * stride + 1), "a transfer to or from elsewhere than L2");
    shim_check(cmd->under_way != 1 && shim_in_l1(number((char *)cmd), sizeof *cmd), "a command");
    *cmd = (pi_cl_dma_cmd_t){ .id = slot, .under_way = 1 };
    dma[slot].cmd = cmd;
    dma[slot].ext = ext, dma[slot].loc = loc, dma[slot].size = size;
    dma[slot].stride = stride, dma[slot].length = length, dma[slot].dir = dir;
    each_line(slot, dir == PI_CL_DMA_DIR_EXT2LOC);
}

void pi_cl_dma_cmd(uint32_t ext, uint32_t loc, uint32_t size, pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd)
{
    pi_cl_dma_cmd_2d(ext, loc, size, size, size, dir, cmd);
}

void pi_cl_dma_cmd_wait(pi_cl_dma_cmd_t *cmd)
{
    shim_check(cmd->under_way == 1 && dma[cmd->id].cmd == cmd, "a wait for what was not started");
    each_line(cmd->id, false);
    dma[cmd->id].cmd = 0;
    cmd->under_way = 0;
}

/* ---- L3: in the order in which it was asked for */

static struct {
    uint32_t offset, l2, bytes;
    bool to_l3;
} asked[64];
static uint32_t first, last;

uint32_t shim_ram_start(uint32_t offset, uint32_t l2, uint32_t bytes, bool to_l3)
{
    shim_check(last - first < 64, "too much in flight");
    if (!to_l3)
        memset(at(l2), SPOILT, bytes);
    asked[last % 64].offset = offset, asked[last % 64].l2 = l2;
    asked[last % 64].bytes = bytes, asked[last % 64].to_l3 = to_l3;
    return ++last;
}

void shim_ram_wait(uint32_t ticket)
{
    for (; (int32_t)(first - ticket) < 0; first++) {
        uint8_t *far = ram + asked[first % 64].offset, *near = at(asked[first % 64].l2);
        const bool to_l3 = asked[first % 64].to_l3;
        memcpy(to_l3 ? far : near, to_l3 ? near : far, asked[first % 64].bytes);
    }
}

/* ---- files, serial line */

int32_t shim_open(const char *name) { return open(name, O_RDONLY); }

static uint32_t read_all(int file, uint8_t *to, uint32_t bytes)
{
    uint32_t done = 0;
    while (done < bytes) {
        const ssize_t found = read(file, to + done, bytes - done);
        if (found <= 0)
            break;
        done += (uint32_t)found;
    }
    return done;
}

uint32_t shim_read(int32_t file, void *to, uint32_t bytes) { return read_all(file, to, bytes); }
void shim_close(int32_t file) { close(file); }

static int line;

void shim_line_open(void)
{
    struct termios raw;
    line = open(getenv("SHIM_LINE") ? getenv("SHIM_LINE") : "", O_RDWR | O_NOCTTY);
    shim_check(line >= 0, "no line");
    if (tcgetattr(line, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(line, TCSANOW, &raw);
    }
}

bool shim_line_read(void *to, uint32_t bytes) { return read_all(line, to, bytes) == bytes; }

void shim_line_write(const void *from, uint32_t bytes)
{
    const uint8_t *next = from;
    while (bytes > 0) {
        const ssize_t done = write(line, next, bytes);
        if (done <= 0)
            shim_end(3);
        next += done, bytes -= (uint32_t)done;
    }
}
