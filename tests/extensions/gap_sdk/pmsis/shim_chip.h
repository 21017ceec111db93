/* What the SDK has inline, on the chip's registers. SHIM_CHECKS also looks at the arguments. */
#ifndef SHIM_CHIP_H
#define SHIM_CHIP_H

#define SHIM_BARRIER(b) (0x1020421Cu + 0x20u * (b))

#define SHIM_EVENT_MASK_CLEAR 0x10204004u
#define SHIM_EVENT_MASK_SET 0x10204008u
#define SHIM_EVENT_WAIT_CLEAR 0x1020403Cu

#define SHIM_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SHIM_DMA 0x10204800u
#define SHIM_DMA_STATUS (SHIM_DMA + 4u)
#define SHIM_DMA_COMMAND(size, dir) ((size) | (uint32_t)(dir) << 17 | 1u << 18 | 1u << 20)

void bm_dma_wait(uint32_t transfer);
void shim_dma_check(uint32_t ext, uint32_t loc, uint32_t size, uint32_t reach, pi_cl_dma_cmd_t *cmd);
void shim_dma_waited(pi_cl_dma_cmd_t *cmd);

static inline uint32_t pi_core_id(void)
{
    uint32_t core;
    __asm__("csrr %0, mhartid" : "=r"(core));
    return core;
}

/* The cluster's timer, which counts while cores sleep, too. */
static inline uint32_t pi_perf_cl_read(int event)
{
    return event == PI_PERF_CYCLES ? SHIM_REG(0x10200408u) : 0;
}

static inline void pi_cl_team_barrier_wait(uint32_t barrier)
{
    uint32_t events;
    __asm__ volatile(".insn i 0x03, 6, %0, 0(%1)" : "=r"(events) : "r"(SHIM_BARRIER(barrier)) : "memory");
}

/* The events come into the mask beside those that the runtime has there, as in the SDK. */
static inline uint32_t eu_evt_maskWaitAndClr(uint32_t events)
{
    uint32_t come;
    SHIM_REG(SHIM_EVENT_MASK_SET) = events;
    __asm__ volatile(".insn i 0x03, 6, %0, 0(%1)" : "=r"(come) : "r"(SHIM_EVENT_WAIT_CLEAR) : "memory");
    SHIM_REG(SHIM_EVENT_MASK_CLEAR) = events;
    return come;
}

static inline void pi_cl_team_barrier(void) { pi_cl_team_barrier_wait(0); }

static inline void pi_cl_dma_cmd(uint32_t ext, uint32_t loc, uint32_t size, pi_cl_dma_dir_e dir,
                                 pi_cl_dma_cmd_t *cmd)
{
#ifdef SHIM_CHECKS
    shim_dma_check(ext, loc, size, size, cmd);
#endif
    __asm__ volatile("" ::: "memory");
    cmd->id = SHIM_REG(SHIM_DMA);
    SHIM_REG(SHIM_DMA) = SHIM_DMA_COMMAND(size, dir);
    SHIM_REG(SHIM_DMA) = loc;
    SHIM_REG(SHIM_DMA) = ext;
}

static inline void pi_cl_dma_cmd_2d(uint32_t ext, uint32_t loc, uint32_t size, uint32_t stride,
                                    uint32_t length, pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd)
{
#ifdef SHIM_CHECKS
    shim_dma_check(ext, loc, size, (size / length - 1) * stride + length, cmd);
#endif
    __asm__ volatile("" ::: "memory");
    cmd->id = SHIM_REG(SHIM_DMA);
    SHIM_REG(SHIM_DMA) = SHIM_DMA_COMMAND(size, dir) | 1u << 19;
    SHIM_REG(SHIM_DMA) = loc;
    SHIM_REG(SHIM_DMA) = ext;
    SHIM_REG(SHIM_DMA) = length;
    SHIM_REG(SHIM_DMA) = stride;
}

static inline void pi_cl_dma_cmd_wait(pi_cl_dma_cmd_t *cmd)
{
    if (SHIM_REG(SHIM_DMA_STATUS) >> cmd->id & 1u)
        bm_dma_wait(cmd->id);
    else
        SHIM_REG(SHIM_DMA_STATUS) = 1u << cmd->id;
    __asm__ volatile("" ::: "memory");
#ifdef SHIM_CHECKS
    shim_dma_waited(cmd);
#endif
}

#endif
