/* SPDX-License-Identifier: Apache-2.0 */
#include "pmsis_runtime.h"

#include "me_intrinsics.h"
#include "me_status.h"
#include "port.h"

#define DMA_COMMANDS 16u

/* STATUS of MRAM, which the SDK's driver does not read: an error that ECC does not correct */
#ifndef ME_MRAM_STATUS
#define ME_MRAM_STATUS (*(volatile uint32_t *)0x1A102B1Cu)
#endif
#define ME_MRAM_NOT_CORRECTED 0x10u

PI_L1 uint32_t me_workers_barrier;

/* State of the DMA commands and L3 requests below; bit n of `writes`: request n writes to L3. */
static PI_L1 uint32_t under_way, writes, asked, done;

#ifdef ME_MRAM_WEIGHTS
pi_fs_file_t *me_mram_file;

static PI_L1 pi_cl_fs_req_t reads[ME_MRAM_IN_FLIGHT];
static PI_L1 uint32_t reads_asked, reads_done;
static volatile int32_t reads_result;
#endif

/* ---- the team */

void me_team_run(void (*work)(void *argument), void *argument)
{
    under_way = writes = asked = done = 0; /* L1 is not zeroed at start */
#ifdef ME_MRAM_WEIGHTS
    reads_asked = reads_done = 0;
    reads_result = ME_OK;
#endif
    me_workers_barrier = pi_cl_team_barrier_alloc();
    pi_cl_team_barrier_set(me_workers_barrier, (1u << ME_WORKERS) - 1);
    pi_perf_conf(1u << PI_PERF_CYCLES);
    pi_perf_cl_reset();
    pi_perf_cl_start();
    pi_cl_team_fork_cc(ME_CORES, work, argument);
    pi_perf_cl_stop();
    pi_cl_team_barrier_free(me_workers_barrier);
}

/* ---- L2 and L1. Bit n: command n is in flight. Only core 8 uses them. */

static PI_L1 pi_cl_dma_cmd_t commands[DMA_COMMANDS];

static uint32_t address(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

static uint32_t free_command(void)
{
    const uint32_t number = (uint32_t)me_ff1(~under_way);
    under_way |= 1u << number;
    return number;
}

static pi_cl_dma_dir_e dma_direction(me_dma_direction direction)
{
    return direction == ME_L2_TO_L1 ? PI_CL_DMA_DIR_EXT2LOC : PI_CL_DMA_DIR_LOC2EXT;
}

uint32_t me_dma_start(void *l1, void *l2, uint32_t bytes, me_dma_direction direction)
{
    const uint32_t number = free_command();
    pi_cl_dma_cmd(address(l2), address(l1), bytes, dma_direction(direction), &commands[number]);
    return number;
}

uint32_t me_dma_start_2d(void *l1, void *l2, uint32_t bytes, uint32_t line_bytes, uint32_t stride_bytes,
                         me_dma_direction direction)
{
    const uint32_t number = free_command();
    pi_cl_dma_cmd_2d(address(l2), address(l1), bytes, stride_bytes, line_bytes, dma_direction(direction),
                     &commands[number]);
    return number;
}

void me_dma_wait_all(uint32_t transfers)
{
    under_way &= ~transfers;
    for (; transfers; transfers &= transfers - 1)
        pi_cl_dma_cmd_wait(&commands[me_ff1(transfers)]);
}

/* ---- L3: one request per transfer in flight; requests are awaited in order */

struct pi_device me_ram;
uint32_t me_l3_base;

static PI_L1 pi_cl_ram_req_t requests[ME_L3_IN_FLIGHT];

bool me_l3_full(void) { return asked - done >= ME_L3_IN_FLIGHT; }

uint32_t me_l3_start(uint32_t l3, void *l2, uint32_t bytes, me_l3_direction direction)
{
    if (me_l3_full())
        me_l3_wait(done + 1);
    const uint32_t number = asked++ % ME_L3_IN_FLIGHT;
    if (direction == ME_L2_TO_L3) {
        writes |= 1u << number;
        pi_cl_ram_write(&me_ram, me_l3_base + l3, l2, bytes, &requests[number]);
    } else {
        writes &= ~(1u << number);
        pi_cl_ram_read(&me_ram, me_l3_base + l3, l2, bytes, &requests[number]);
    }
    return asked;
}

void me_l3_wait(uint32_t ticket)
{
    for (; (int32_t)(done - ticket) < 0; done++) {
        const uint32_t number = done % ME_L3_IN_FLIGHT;
        if (writes >> number & 1u)
            pi_cl_ram_write_wait(&requests[number]);
        else
            pi_cl_ram_read_wait(&requests[number]);
    }
}

void me_l3_store(uint32_t l3, void *l2, uint32_t bytes) { pi_ram_write(&me_ram, me_l3_base + l3, l2, bytes); }
void me_l3_fetch(uint32_t l3, void *l2, uint32_t bytes) { pi_ram_read(&me_ram, me_l3_base + l3, l2, bytes); }

/* ---- MRAM: one request per read in flight */

#ifdef ME_MRAM_WEIGHTS
bool me_mram_full(void) { return reads_asked - reads_done >= ME_MRAM_IN_FLIGHT; }

uint32_t me_mram_start(uint32_t mram, void *l2, uint32_t bytes)
{
    if (me_mram_full())
        me_mram_wait(reads_done + 1);
    pi_cl_fs_copy(me_mram_file, mram, l2, bytes, 1, &reads[reads_asked++ % ME_MRAM_IN_FLIGHT]);
    return reads_asked;
}

void me_mram_wait(uint32_t ticket)
{
    for (; (int32_t)(reads_done - ticket) < 0; reads_done++) {
        pi_cl_fs_wait(&reads[reads_done % ME_MRAM_IN_FLIGHT]);
        if (ME_MRAM_STATUS & ME_MRAM_NOT_CORRECTED)
            reads_result = ME_DAMAGED;
    }
}

int32_t me_mram_result(void) { return reads_result; }
#endif

/* ---- marks */

__attribute__((noinline)) void me_mark(int32_t layer)
{
    me_marks[layer + 1] = pi_perf_cl_read(PI_PERF_CYCLES);
}
