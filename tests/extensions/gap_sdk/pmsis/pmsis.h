/* PMSIS as far as the GAP SDK application calls it. What the calls mean is in shim.c; how the chip
 * or this machine does it, in shim_chip.c and shim_host.c. The addresses are numbers of 32 bits, as in the SDK. */
#ifndef PMSIS_H
#define PMSIS_H

#include <stddef.h>
#include <stdint.h>

#ifdef SHIM_CHIP
#define PI_L1 __attribute__((section(".l1")))
#define PI_L2 __attribute__((section(".noinit")))
#else
#define PI_L1 __attribute__((section("pi_l1")))
#define PI_L2 __attribute__((section("pi_l2")))
#endif

struct pi_device {
    void *config;
    int opened;
};
void pi_open_from_conf(struct pi_device *device, void *conf);

/* power and clocks; 4.12 declares the voltage in a header of its own */
#ifndef ME_SDK_4
#include "pmsis/chips/gap9/pmu.h"
#endif
typedef enum { PI_FREQ_DOMAIN_FC, PI_FREQ_DOMAIN_CL, PI_FREQ_DOMAIN_PERIPH } pi_freq_domain_e;
int32_t pi_freq_set(pi_freq_domain_e domain, uint32_t hz);
uint32_t pi_freq_get(pi_freq_domain_e domain);

/* pads */
#ifdef ME_SDK_4
typedef enum { PI_PAD_000, PI_PAD_089 = 89, PI_PAD_095 = 95 } pi_pad_e;
typedef enum { /* flag, pad, number */
               PI_GPIO_A00 = INT32_MIN,
               PI_GPIO_A01 = INT32_MIN | 1 << 8 | 1,
               PI_GPIO_A89 = INT32_MIN | 89 << 8 | 89,
} pi_gpio_e;
enum { PI_PAD_FUNC1 = 1, PI_GPIO_OUTPUT = 1 };
struct pi_gpio_conf {
    int port;
};
void pi_gpio_conf_init(struct pi_gpio_conf *conf);
int pi_gpio_open(struct pi_device *device);
void pi_pad_set_function(pi_pad_e pad, int function);
int pi_gpio_pin_configure(struct pi_device *device, pi_gpio_e gpio, int flags);
int pi_gpio_pin_write(struct pi_device *device, uint32_t pin, uint32_t value);
#else
enum { PI_GPIO_OUTPUT = 1 };
void pi_pad_function_set(uint32_t pad, int function);
int pi_gpio_pin_configure(uint32_t pin, int flags);
int pi_gpio_pin_write(uint32_t pin, uint32_t value);
#endif

/* the cluster */
struct pi_cluster_conf {
    int id;
    uint32_t cc_stack_size, icache_conf;
};
struct pi_cluster_task {
    void (*entry)(void *);
    void *arg, *stacks;
    uint32_t slave_stack_size;
};
void pi_cluster_conf_init(struct pi_cluster_conf *conf);
int pi_cluster_open(struct pi_device *device);
void pi_cluster_task(struct pi_cluster_task *task, void (*entry)(void *), void *arg);
int pi_cluster_close(struct pi_device *device);
void *pi_cl_l1_malloc(struct pi_device *device, uint32_t size);
void pi_cl_l1_free(struct pi_device *device, void *room, int size);
void *pi_l2_malloc(uint32_t size);
void pi_l2_free(void *room, uint32_t size);

/* events: a function that an interrupt calls, or a signal that one waits for */
typedef struct {
    void (*function)(void *);
    void *arg;
    int kind, pushed;
} pi_evt_t;
#ifdef ME_SDK_4
typedef pi_evt_t pi_task_t;
#define pi_evt_sig_init pi_task_block
#define pi_evt_callback_irq_init pi_task_irq_callback
#define pi_evt_push pi_task_push
#define pi_evt_wait pi_task_wait_on
#endif
pi_evt_t *pi_evt_sig_init(pi_evt_t *event);
pi_evt_t *pi_evt_callback_irq_init(pi_evt_t *event, void (*function)(void *), void *arg);
void pi_evt_push(pi_evt_t *event);
void pi_evt_wait(pi_evt_t *event);
int pi_cluster_send_task_to_cl_async(struct pi_device *device, struct pi_cluster_task *task, pi_evt_t *end);

/* these and the DMA's are inline on the chip, as in the SDK */
#ifndef SHIM_CHIP
uint32_t pi_core_id(void);
void pi_cl_team_barrier(void);
void pi_cl_team_barrier_wait(uint32_t barrier);
uint32_t eu_evt_maskWaitAndClr(uint32_t events);
#endif
void pi_cl_team_fork_cc(int cores, void (*entry)(void *), void *arg);
uint32_t pi_cl_team_barrier_alloc(void);
void pi_cl_team_barrier_set(uint32_t barrier, uint32_t mask);
void pi_cl_team_barrier_free(uint32_t barrier);

/* performance counters */
typedef enum { PI_PERF_CYCLES = 17 } pi_perf_event_e;
void pi_perf_conf(uint32_t events);
void pi_perf_cl_reset(void);
void pi_perf_cl_start(void);
void pi_perf_cl_stop(void);
#ifndef SHIM_CHIP
uint32_t pi_perf_cl_read(int event);
#endif

/* DMA */
typedef enum { PI_CL_DMA_DIR_LOC2EXT = 0, PI_CL_DMA_DIR_EXT2LOC = 1 } pi_cl_dma_dir_e;
typedef struct {
    uint32_t id, under_way;
} pi_cl_dma_cmd_t;
#ifndef SHIM_CHIP
void pi_cl_dma_cmd(uint32_t ext, uint32_t loc, uint32_t size, pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd);
void pi_cl_dma_cmd_2d(uint32_t ext, uint32_t loc, uint32_t size, uint32_t stride, uint32_t length,
                      pi_cl_dma_dir_e dir, pi_cl_dma_cmd_t *cmd);
void pi_cl_dma_cmd_wait(pi_cl_dma_cmd_t *cmd);
#endif

/* microseconds since a start */
uint32_t pi_time_get_us(void);

/* serial line */
struct pi_uart_conf {
    uint32_t baudrate_bps;
    uint8_t uart_id, enable_rx, enable_tx;
};
void pi_uart_conf_init(struct pi_uart_conf *conf);
int pi_uart_open(struct pi_device *device);
int pi_uart_read(struct pi_device *device, void *buffer, uint32_t size);
int pi_uart_write(struct pi_device *device, void *buffer, uint32_t size);

#ifdef SHIM_CHIP
#include "shim_chip.h"
#endif

#endif
