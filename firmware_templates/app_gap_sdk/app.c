/* SPDX-License-Identifier: Apache-2.0
 * The fabric controller's program: starts the chip, then runs the network whenever the host asks
 * (ME_UART), or once on the golden sample and prints what it took.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "network.h"
#include "pmsis_runtime.h"
#include "port.h"
#include "ports.h"
#include "serve.h"

enum { OK, NO_CLOCK, NO_CLUSTER, NO_MEMORY, NO_RAM, NO_FILE, WRONG_CORE, NO_LINE, DIFFERS };

#define SLAVE_STACK_BYTES 1280u
#define CHUNK_BYTES 4096u

static struct pi_device cluster, flash, files;
static struct pi_cluster_task task;
static uint8_t *chunk;

/* ---- start */

/* The chip starts slowly: any voltage will do for that, so the voltage is first. */
static bool start_clocks(void)
{
    return pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, ME_MILLIVOLTS) == 0
        && pi_freq_set(PI_FREQ_DOMAIN_FC, ME_CLOCK_HZ) >= 0
        && pi_freq_set(PI_FREQ_DOMAIN_PERIPH, ME_CLOCK_HZ) >= 0;
}

static bool start_cluster(void)
{
    static struct pi_cluster_conf conf;
    pi_cluster_conf_init(&conf);
    conf.id = 0;
    conf.cc_stack_size = 2048;
    pi_open_from_conf(&cluster, &conf);
    return pi_cluster_open(&cluster) == 0 && pi_freq_set(PI_FREQ_DOMAIN_CL, ME_CLOCK_HZ) >= 0;
}

static bool open_ram(void)
{
    static struct pi_default_ram_conf conf;
    pi_default_ram_conf_init(&conf);
    pi_open_from_conf(&me_ram, &conf);
    return pi_ram_open(&me_ram) == 0 && pi_ram_alloc(&me_ram, &me_l3_base, me_l3_all_bytes) == 0;
}

static bool open_files(void)
{
    static struct pi_default_flash_conf flash_conf;
    static struct pi_readfs_conf conf;
    pi_default_flash_conf_init(&flash_conf);
    pi_open_from_conf(&flash, &flash_conf);
    if (pi_flash_open(&flash) != 0)
        return false;
    pi_readfs_conf_init(&conf);
    conf.fs.flash = &flash;
    pi_open_from_conf(&files, &conf);
    return pi_fs_mount(&files) == 0;
}

/* Out of the flash's file system, chunk by chunk through L2. */
static bool load_l3(void)
{
    pi_fs_file_t *file = open_files() ? pi_fs_open(&files, "l3.bin", 0) : 0;
    uint32_t at = 0;
    int32_t found = 1;
    for (; file && at < me_l3_file_bytes && found > 0; at += (uint32_t)found) {
        const uint32_t left = me_l3_file_bytes - at;
        found = pi_fs_read(file, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        if (found > 0)
            pi_ram_write(&me_ram, me_l3_base + at, chunk, (uint32_t)found);
    }
    if (file)
        pi_fs_close(file);
    return file && at == me_l3_file_bytes;
}

static int32_t start_memory(void)
{
    task.stacks = pi_cl_l1_malloc(&cluster, ME_WORKERS * SLAVE_STACK_BYTES);
    task.slave_stack_size = SLAVE_STACK_BYTES;
    chunk = pi_l2_malloc(CHUNK_BYTES);
    if (!task.stacks || !chunk)
        return NO_MEMORY;
    if (me_l3_all_bytes && !open_ram())
        return NO_RAM;
    return me_l3_file_bytes && !load_l3() ? NO_FILE : OK;
}

/* ---- the network */

static volatile int32_t started_on;
static const void *const *given;
static void *const *made;

static void on_each_core(void *unused)
{
    (void)unused;
    if (me_core() == ME_CONTROL_CORE)
        me_mark(-1);
    me_run(given, made);
}

/* Cluster tasks must start on core 8, which nobody computes on. */
static void on_cluster(void *unused)
{
    started_on = me_core();
    if (started_on == ME_CONTROL_CORE)
        me_team_run(on_each_core, unused);
}

static bool computed(const void *const in[], void *const out[])
{
    void *const stacks = task.stacks;
    given = in, made = out;
    pi_cluster_task(&task, on_cluster, 0);
    task.stacks = stacks;
    task.slave_stack_size = SLAVE_STACK_BYTES;
    me_pad_set(ME_POWER_PAD, 1);
    pi_cluster_send_task_to_cl(&cluster, &task);
    me_pad_set(ME_POWER_PAD, 0);
    return started_on == ME_CONTROL_CORE;
}

int me_cluster_pass(const void *const in[], void *const out[]) { return computed(in, out) ? 0 : -1; }

#ifdef ME_PASS_FRAMES /* a stream: what lies at the inputs is a frame */
bool me_infer(void)
{
    me_pass = me_cluster_pass;
    for (uint32_t i = 0; i < me_output_count; i++)
        for (uint32_t at = 0; at < me_output_ports[i].bytes; at++)
            me_output_ports[i].l2[at] = 0;
    return me_push(me_inputs, me_outputs) >= 0;
}

void me_restart(void) { me_reset(); }
#else
bool me_infer(void) { return computed(me_inputs, me_outputs); }

void me_restart(void) {}
#endif

uint32_t me_cycles_of(uint32_t row)
{
    if (row < me_layer_count)
        return me_marks[row + 1] - me_marks[row];
    return me_marks[me_mark_count - 1] - me_marks[0];
}

/* ---- the golden sample */

#ifndef ME_UART
#ifdef ME_PRINT_OUTPUTS /* golden.h may hold other inputs, whose outputs the reader compares */
enum { LINE_BYTES = 64 };

static int32_t print_outputs(void)
{
    for (uint32_t i = 0; i < me_output_count; i++)
        for (uint32_t at = 0; at < me_output_ports[i].bytes; at++) {
            if (at % LINE_BYTES == 0)
                printf("output %lu: ", (unsigned long)i);
            printf("%02x", me_output_ports[i].l2[at]);
            if (at % LINE_BYTES == LINE_BYTES - 1 || at == me_output_ports[i].bytes - 1)
                printf("\n");
        }
    printf("outputs printed\n");
    return OK;
}
#else
static int32_t compare_outputs(void)
{
    bool same = true;
    for (uint32_t i = 0; i < me_output_count; i++)
        same &= !memcmp(me_output_ports[i].l2, me_golden_outputs[i], me_output_ports[i].bytes);
    printf("outputs %s\n", same ? "as expected" : "DIFFER");
    return same ? OK : DIFFERS;
}
#endif

static void print_cycles(void)
{
    for (uint32_t row = 0; row < me_layer_count; row++)
        printf("layer %lu: %lu cycles\n", (unsigned long)row, (unsigned long)me_cycles_of(row));
    printf("all: %lu cycles\n", (unsigned long)me_cycles_of(me_layer_count));
}

static int32_t run_golden(void)
{
    for (uint32_t i = 0; i < me_input_count; i++)
        memcpy(me_input_ports[i].l2, me_golden_inputs[i], me_input_ports[i].bytes);
    printf("%s\n", me_digest);
    if (!me_infer())
        return WRONG_CORE;
    print_cycles();
#ifdef ME_PRINT_OUTPUTS
    return print_outputs();
#else
    return compare_outputs();
#endif
}
#endif

static int32_t started(void)
{
    if (!start_clocks())
        return NO_CLOCK;
    if (!start_cluster())
        return NO_CLUSTER;
    me_pad_open(ME_POWER_PAD);
    return start_memory();
}

int main(void)
{
    const int32_t code = started();
    if (code != OK) {
        printf("%s: cannot start, code %ld of app.c\n", me_digest, (long)code);
        return code;
    }
#ifdef ME_UART
    return me_serve() ? OK : NO_LINE;
#else
    return run_golden();
#endif
}
