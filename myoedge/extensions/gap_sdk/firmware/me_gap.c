/* SPDX-License-Identifier: Apache-2.0 */
#include "me_gap.h"

#include "pmsis_runtime.h"
#include "port.h"

#define STACKS_BYTES (ME_WORKERS * ME_STACK_BYTES)
#define CHUNK_BYTES 4096u
#define CANARY 0x57A9C3E1u

static struct pi_device own_cluster, *cluster, flash, files;
static struct pi_cluster_task task;
static void *stacks;
static uint32_t networks, networks_in_l3;

#ifdef ME_MRAM_WEIGHTS
#include "library/me_crc32.h"

#ifndef ME_MRAM_HZ
#define ME_MRAM_HZ 30000000u /* highest clock of MRAM */
#endif
#endif

/* ---- the run */

static struct {
    const me_network_info *of;
    const void *const *in;
    void *const *out;
    me_done done;
    void *argument;
} now;
static volatile bool running;
static volatile int32_t started_on;
static me_event ended, awake;

static void on_each_core(void *unused)
{
    (void)unused;
    if (me_core() == ME_CONTROL_CORE)
        me_mark(-1);
    now.of->run(now.in, now.out);
}

/* Cluster tasks must start on core 8, which runs no kernels. */
static void start_team(void *unused)
{
    started_on = me_core();
    if (started_on == ME_CONTROL_CORE)
        me_team_run(on_each_core, unused);
}

static void set_power_pad(uint32_t level)
{
#ifdef ME_POWER_PAD
    me_pad_set(ME_POWER_PAD, level);
#else
    (void)level;
#endif
}

static void on_end(void *unused)
{
    (void)unused;
    set_power_pad(0);
    running = false;
    me_event_push(&awake);
    if (now.done)
        now.done(now.argument);
}

me_status me_start(const me_gap *gap, const void *const in[], void *const out[], me_done done, void *argument)
{
    if (running)
        return ME_BUSY;
    now.of = gap->of, now.in = in, now.out = out;
    now.done = done, now.argument = argument;
    me_l3_base = gap->l3_base;
#ifdef ME_MRAM_WEIGHTS
    me_mram_file = gap->mram_file;
#endif
    pi_cluster_task(&task, start_team, 0);
    task.stacks = stacks;
    task.slave_stack_size = ME_STACK_BYTES;
    running = true;
    me_event_open(&awake);
    set_power_pad(1);
    pi_cluster_send_task_to_cl_async(cluster, &task, me_event_call(&ended, on_end));
    return ME_OK;
}

/* The last word of the stack of core 0 .. 7. */
static volatile uint32_t *canary(uint32_t core)
{
    return (volatile uint32_t *)stacks + core * (ME_STACK_BYTES / 4);
}

bool me_stacks_intact(void)
{
    bool are_intact = true;
    for (uint32_t core = 0; core < ME_WORKERS; core++)
        are_intact &= *canary(core) == CANARY;
    return are_intact;
}

me_status me_wait(void)
{
    if (running)
        me_event_wait(&awake);
    if (started_on != ME_CONTROL_CORE)
        return ME_WRONG_CORE;
#ifdef ME_MRAM_WEIGHTS
    if (me_mram_result() != ME_OK)
        return ME_DAMAGED;
#endif
    return me_stacks_intact() ? ME_OK : ME_STACK;
}

bool me_is_running(void) { return running; }

/* ---- cluster and L3 */

static bool open_cluster(const me_gap_options *options)
{
    static struct pi_cluster_conf conf;
    if (options && options->cluster) {
        cluster = options->cluster;
        return true;
    }
    pi_cluster_conf_init(&conf);
    conf.id = 0;
    conf.cc_stack_size = ME_CONTROL_STACK_BYTES;
    pi_open_from_conf(&own_cluster, &conf);
    cluster = &own_cluster;
    return pi_cluster_open(cluster) == 0;
}

static me_operating_point now_at; /* the point that is set; clock_hz 0: none */

static bool is_within(pi_freq_domain_e domain, uint32_t clock_hz)
{
    return (uint32_t)pi_freq_get(domain) <= clock_hz;
}

static bool set_clock(uint32_t clock_hz) { return pi_freq_set(PI_FREQ_DOMAIN_CL, clock_hz) >= 0; }

/* Sets the voltage before the clock; but if the program opened the cluster itself at a higher clock, it
 * lowers the clock first. */
static bool set_point(const me_operating_point *point)
{
    const uint32_t clock_hz = point->clock_hz;
    if (clock_hz <= now_at.clock_hz)
        return true; /* another open network already needs this clock */
    if (!is_within(PI_FREQ_DOMAIN_FC, clock_hz) || !is_within(PI_FREQ_DOMAIN_PERIPH, clock_hz))
        return false;
    if (!is_within(PI_FREQ_DOMAIN_CL, clock_hz) && !set_clock(clock_hz))
        return false;
    now_at = *point;
    return pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, point->millivolts) == 0 && set_clock(clock_hz);
}

static uint32_t l3_bytes(const me_network_info *of) { return of->l3_bytes + of->l3_map_bytes; }

static bool open_ram(me_gap *gap)
{
    static struct pi_default_ram_conf conf;
    if (networks_in_l3 == 0) {
        pi_default_ram_conf_init(&conf);
        pi_open_from_conf(&me_ram, &conf);
        if (pi_ram_open(&me_ram) != 0)
            return false;
    }
    networks_in_l3++;
    return pi_ram_alloc(&me_ram, &gap->l3_base, l3_bytes(gap->of)) == 0;
}

static bool open_files(void)
{
    static struct pi_default_flash_conf flash_conf;
    static struct pi_readfs_conf conf;
    static bool are_open;
    if (are_open)
        return true;
    pi_default_flash_conf_init(&flash_conf);
    pi_open_from_conf(&flash, &flash_conf);
    if (pi_flash_open(&flash) != 0)
        return false;
    pi_readfs_conf_init(&conf);
    conf.fs.flash = &flash;
    pi_open_from_conf(&files, &conf);
    are_open = pi_fs_mount(&files) == 0;
    return are_open;
}

/* Loads L3 from the flash's file system, chunk by chunk through L2. */
static bool load_l3_file(const me_gap *gap, const char *name, uint8_t *chunk)
{
    pi_fs_file_t *file = open_files() ? pi_fs_open(&files, name, 0) : 0;
    const uint32_t bytes = gap->of->l3_bytes;
    uint32_t at = 0;
    int32_t found = 1;
    for (; file && at < bytes && found > 0; at += (uint32_t)found) {
        const uint32_t left = bytes - at;
        found = pi_fs_read(file, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        if (found > 0)
            me_l3_store(at, chunk, (uint32_t)found);
    }
    if (file)
        pi_fs_close(file);
    return file && at == bytes;
}

static me_status fill_l3(const me_gap *gap, const char *name)
{
    uint8_t *chunk = pi_l2_malloc(CHUNK_BYTES);
    const bool is_there = chunk && load_l3_file(gap, name, chunk);
    if (!chunk)
        return ME_NO_MEMORY;
    pi_l2_free(chunk, CHUNK_BYTES);
    return is_there ? ME_OK : ME_NO_FILE;
}

#ifdef ME_MRAM_WEIGHTS
static struct pi_device mram, mram_files;

/* The file system of MRAM, at the clock of the board. */
static bool open_mram(void)
{
    static struct pi_mram_conf mram_conf;
    static struct pi_readfs_conf conf;
    static bool is_open;
    if (is_open)
        return true;
    pi_mram_conf_init(&mram_conf);
    mram_conf.baudrate = ME_MRAM_HZ;
    pi_open_from_conf(&mram, &mram_conf);
    if (pi_flash_open(&mram) != 0)
        return false;
    pi_readfs_conf_init(&conf);
    conf.fs.flash = &mram;
#ifndef ME_SDK_4 /* SDK 5 has one partition table for all flashes */
    conf.fs.partition_name = "readfs_mram";
#endif
    pi_open_from_conf(&mram_files, &conf);
    is_open = pi_fs_mount(&mram_files) == 0;
    return is_open;
}

/* Compares the file with the network's CRC-32, chunk by chunk through L2. */
static me_status check_mram(const me_gap *gap, uint8_t *chunk)
{
    uint32_t at = 0, crc = 0;
    int32_t found = 1;
    for (; at < gap->of->mram_bytes && found > 0; at += (uint32_t)found) {
        const uint32_t left = gap->of->mram_bytes - at;
        found = pi_fs_read(gap->mram_file, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        if (found > 0)
            crc = me_crc32(crc, chunk, (uint32_t)found);
    }
    if (at != gap->of->mram_bytes)
        return ME_NO_FILE;
    return crc == gap->of->mram_crc ? ME_OK : ME_DAMAGED;
}

static me_status find_weights(me_gap *gap, const char *name)
{
    gap->mram_file = open_mram() ? pi_fs_open(&mram_files, name, 0) : 0;
    if (!gap->mram_file)
        return ME_NO_FILE;
    uint8_t *chunk = pi_l2_malloc(CHUNK_BYTES);
    if (!chunk)
        return ME_NO_MEMORY;
    const me_status status = check_mram(gap, chunk);
    pi_l2_free(chunk, CHUNK_BYTES);
    return status;
}
#endif

static me_status open_first(const me_gap_options *options)
{
    if (!open_cluster(options))
        return ME_NO_CLUSTER;
#ifdef ME_POWER_PAD
    me_pad_open(ME_POWER_PAD);
#endif
    stacks = pi_cl_l1_malloc(cluster, STACKS_BYTES);
    if (!stacks)
        return ME_NO_MEMORY;
    for (uint32_t core = 0; core < ME_WORKERS; core++)
        *canary(core) = CANARY;
    return ME_OK;
}

static void release_cluster(void)
{
    now_at.clock_hz = 0;
    pi_cl_l1_free(cluster, stacks, STACKS_BYTES);
    if (cluster == &own_cluster)
        pi_cluster_close(cluster);
}

me_status me_open(me_gap *gap, const me_network_info *of, const me_gap_options *options)
{
    const me_status status = networks == 0 ? open_first(options) : ME_OK;
    gap->of = of;
    gap->l3_base = 0;
    if (status != ME_OK)
        return status;
    if (!set_point(options && options->point ? options->point : &of->point)) {
        if (networks == 0)
            release_cluster();
        return ME_NO_CLOCK;
    }
    networks++;
    if (l3_bytes(of) > 0 && !open_ram(gap))
        return ME_NO_RAM;
    me_l3_base = gap->l3_base;
#ifdef ME_MRAM_WEIGHTS
    const char *const mram_name = options && options->mram_file ? options->mram_file : "mram.bin";
    const me_status found = of->mram_bytes > 0 ? find_weights(gap, mram_name) : ME_OK;
    if (found != ME_OK)
        return found;
#endif
    return of->l3_bytes > 0 ? fill_l3(gap, options && options->l3_file ? options->l3_file : "l3.bin") : ME_OK;
}

me_status me_load_model(const me_gap *gap, const me_blob *blob)
{
    me_l3_base = gap->l3_base;
    return gap->of->load ? gap->of->load(blob) : ME_WRONG_LAYOUT;
}

int me_check_slice(const me_gap *gap, int32_t slice)
{
    me_l3_base = gap->l3_base;
    return gap->of->check ? gap->of->check(slice) : ME_FAILED;
}

void me_close(me_gap *gap)
{
    if (l3_bytes(gap->of) > 0) {
        pi_ram_free(&me_ram, gap->l3_base, l3_bytes(gap->of));
        if (--networks_in_l3 == 0)
            pi_ram_close(&me_ram);
    }
    if (--networks > 0)
        return;
    release_cluster();
}
