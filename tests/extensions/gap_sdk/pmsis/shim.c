/* PMSIS calls as the SDK's documents have them, and what they want of their caller. */
#include "pmsis/chips/gap9/pmu.h"
#include "shim.h"

static const uint32_t highest_hz[][2] = {
    /* at each voltage */
    { 650, 240000000 },
    { 700, 280000000 },
    { 750, 325000000 },
    { 800, 370000000 },
};
static uint32_t clocks_hz[] = { 50000000, 50000000, 50000000 }; /* by domain */

static uint32_t allowed_hz, pad, level;
static bool pad_is_output, cluster_is_open, ram_is_open, line_is_open, counts;
static uint32_t ram_from, ram_bytes;

static uint32_t number(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

void pi_open_from_conf(struct pi_device *device, void *conf)
{
    device->config = conf;
    device->opened = 0;
}

static int opened(struct pi_device *device)
{
    shim_check(device->config && !device->opened, "a device without its conf, or opened twice");
    device->opened = 1;
    return 0;
}

/* ---- power and clocks */

static uint32_t highest_at(uint32_t value)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < sizeof highest_hz / sizeof *highest_hz; i++)
        found = highest_hz[i][0] == value ? highest_hz[i][1] : found;
    return found;
}

int pi_pmu_voltage_set(pi_pmu_domain_e domain, uint32_t value)
{
    shim_check(domain == PI_PMU_VOLTAGE_DOMAIN_CHIP, "a domain of the power management");
    allowed_hz = highest_at(value);
    shim_check(allowed_hz != 0, "a voltage that there is not");
    for (int i = PI_FREQ_DOMAIN_FC; i <= PI_FREQ_DOMAIN_PERIPH; i++)
        shim_check(clocks_hz[i] <= allowed_hz, "a voltage that a clock does not allow");
    return 0;
}

int32_t pi_freq_set(pi_freq_domain_e domain, uint32_t hz)
{
    shim_check(allowed_hz != 0 || hz <= clocks_hz[domain], "a clock before the voltage");
    shim_check(allowed_hz == 0 || hz <= allowed_hz, "a clock that the voltage does not allow");
    shim_check(domain != PI_FREQ_DOMAIN_CL || cluster_is_open, "a clock of the cluster that is off");
    clocks_hz[domain] = hz;
    return (int32_t)hz;
}

uint32_t pi_freq_get(pi_freq_domain_e domain) { return clocks_hz[domain]; }

/* ---- pads */

static void pad_configured(uint32_t which)
{
    pad = which;
    pad_is_output = true;
}

static int pad_written(uint32_t which, uint32_t value)
{
    shim_check(pad_is_output && which == pad, "a pad that is no output");
    level = value;
    return 0;
}

#ifdef ME_SDK_4
void pi_gpio_conf_init(struct pi_gpio_conf *conf) { conf->port = 0; }
int pi_gpio_open(struct pi_device *device) { return opened(device); }
void pi_pad_set_function(pi_pad_e which, int function) { pad = function == PI_PAD_FUNC1 ? which : 0; }

int pi_gpio_pin_configure(struct pi_device *device, pi_gpio_e gpio, int flags)
{
    shim_check(gpio == PI_GPIO_A89, "a pin without its enumerated name");
    shim_check(device->opened && flags == PI_GPIO_OUTPUT && pad == PI_PAD_089, "a pad's direction");
    pad_configured((uint32_t)gpio);
    return 0;
}

int pi_gpio_pin_write(struct pi_device *device, uint32_t pin, uint32_t value)
{
    shim_check(device->opened != 0, "a port that is not open");
    return pad_written(pin, value);
}
#else
void pi_pad_function_set(uint32_t which, int function) { pad = function == 1 ? which : 0; }

int pi_gpio_pin_configure(uint32_t pin, int flags)
{
    shim_check(flags == PI_GPIO_OUTPUT && pin == pad, "a pad's direction");
    pad_configured(pin);
    return 0;
}

int pi_gpio_pin_write(uint32_t pin, uint32_t value) { return pad_written(pin, value); }
#endif

/* ---- the cluster */

void pi_cluster_conf_init(struct pi_cluster_conf *conf)
{
    *conf = (struct pi_cluster_conf){ .id = -1, .icache_conf = 0x7FF };
}

int pi_cluster_open(struct pi_device *device)
{
    const struct pi_cluster_conf *conf = device->config;
    shim_check(conf->id == 0 && conf->cc_stack_size > 0, "a cluster without number or stack");
    cluster_is_open = true;
    return opened(device);
}

void *pi_cl_l1_malloc(struct pi_device *device, uint32_t size)
{
    shim_check(device->opened != 0, "memory of a cluster that is off");
    return shim_l1_room(size);
}

void pi_cl_l1_free(struct pi_device *device, void *room, int size)
{
    shim_check(device->opened && shim_in_l1(number(room), (uint32_t)size), "room that is not of L1");
}

void pi_l2_free(void *room, uint32_t size)
{
    shim_check(shim_in_l2(number(room), size), "room that is not of L2");
}

void *pi_l2_malloc(uint32_t size)
{
    static PI_L2 _Alignas(8) uint8_t room[1 << 16];
    static uint32_t used;
    used += (size + 7u) & ~7u;
    return used <= sizeof room ? room + used - ((size + 7u) & ~7u) : 0;
}

void pi_cluster_task(struct pi_cluster_task *task, void (*entry)(void *), void *arg)
{
    *task = (struct pi_cluster_task){ .entry = entry, .arg = arg };
}

/* Events. A task does its work when somebody waits, so that what it reads must stay until then. */

enum { SIGNAL = 1, CALLBACK };

static struct pi_cluster_task *sent;
static pi_evt_t *sent_end;

pi_evt_t *pi_evt_sig_init(pi_evt_t *event)
{
    *event = (pi_evt_t){ .kind = SIGNAL };
    return event;
}

pi_evt_t *pi_evt_callback_irq_init(pi_evt_t *event, void (*function)(void *), void *arg)
{
    *event = (pi_evt_t){ function, arg, CALLBACK, 0 };
    return event;
}

void pi_evt_push(pi_evt_t *event)
{
    shim_check(event->kind != 0, "an event that was not initialised");
    event->pushed = 1;
    if (event->kind == CALLBACK)
        event->function(event->arg);
}

int pi_cluster_send_task_to_cl_async(struct pi_device *device, struct pi_cluster_task *task, pi_evt_t *end)
{
    shim_check(device->opened && shim_on_fc(), "a task for a cluster that is off");
#ifdef ME_POWER_PAD
    shim_check(level == 1, "a run that the power pad does not show");
#endif
    shim_check(shim_in_l1(number(task->stacks), 8 * task->slave_stack_size), "stacks outside L1");
    shim_check(!sent, "a task while there is one");
    sent = task;
    sent_end = end;
    return 0;
}

void pi_evt_wait(pi_evt_t *event)
{
    shim_check(shim_on_fc() && event->kind == SIGNAL, "a wait for what is no signal");
    while (!event->pushed) {
        struct pi_cluster_task *const task = sent;
        shim_check(task != 0, "a wait that does not end");
        shim_run_task(task->entry, task->arg);
        sent = 0;
        pi_evt_push(sent_end);
    }
}

int pi_cluster_close(struct pi_device *device)
{
    shim_check(device->opened && !sent, "a cluster that is off, or works");
    device->opened = cluster_is_open = false;
    return 0;
}

void pi_perf_conf(uint32_t events) { counts = (events >> PI_PERF_CYCLES & 1u) != 0; }
void pi_perf_cl_reset(void) { shim_check(counts, "no event to count"); }
void pi_perf_cl_start(void) { shim_check(counts, "no event to count"); }
void pi_perf_cl_stop(void) { shim_check(counts, "no event to count"); }

#ifndef SHIM_CHIP
uint32_t pi_perf_cl_read(int event) { return counts && event == PI_PERF_CYCLES ? shim_cycles() : 0; }
#endif

/* ---- L3 */

void pi_default_ram_conf_init(struct pi_default_ram_conf *conf) { conf->baudrate = 0; }

int pi_ram_open(struct pi_device *device)
{
    ram_is_open = true;
    return opened(device);
}

/* One behind the other: each room stays until the memory is closed. */
int pi_ram_alloc(struct pi_device *device, uint32_t *address, uint32_t size)
{
    shim_check(device->opened != 0, "memory of a chip that is not open");
    ram_from = SHIM_RAM + 0x1240u;
    *address = ram_from + ram_bytes;
    ram_bytes += (size + 3u) & ~3u;
    return ram_bytes <= SHIM_RAM_BYTES - 0x1240u ? 0 : -1;
}

int pi_ram_free(struct pi_device *device, uint32_t address, uint32_t size)
{
    shim_check(device->opened && address >= ram_from && address + size <= ram_from + ram_bytes,
               "L3 of others");
    return 0;
}

void pi_ram_close(struct pi_device *device)
{
    shim_check(device->opened != 0, "memory of a chip that is not open");
    device->opened = ram_is_open = false;
    ram_bytes = 0;
}

static uint32_t checked(const struct pi_device *device, uint32_t address, const void *data, uint32_t size)
{
    shim_check(device->opened && ram_is_open, "L3 that is not open");
    shim_check(address >= ram_from && size <= ram_bytes && address - ram_from <= ram_bytes - size,
               "L3 outside of what was allocated");
    shim_check(shim_in_l2(number(data), size), "L3 to or from elsewhere than L2");
    return address - SHIM_RAM;
}

void pi_ram_read(struct pi_device *device, uint32_t address, void *data, uint32_t size)
{
    shim_check(shim_on_fc(), "pi_ram_read on the cluster");
    shim_ram_wait(shim_ram_start(checked(device, address, data, size), number(data), size, false));
}

void pi_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size)
{
    shim_check(shim_on_fc(), "pi_ram_write on the cluster");
    shim_ram_wait(shim_ram_start(checked(device, address, data, size), number(data), size, true));
}

static void request(struct pi_device *device, uint32_t address, const void *data, uint32_t size,
                    pi_cl_ram_req_t *req, bool to_l3)
{
    const uint32_t offset = checked(device, address, data, size);
    shim_check(!shim_on_fc(), "pi_cl_ram on the fabric controller");
    shim_check(req->under_way != 1, "a request that is in flight already");
    shim_check(shim_in_l2(number(req), sizeof *req) || shim_in_l1(number(req), sizeof *req),
               "a request in no memory");
    req->under_way = 1;
    req->writes = to_l3;
    req->ticket = shim_ram_start(offset, number(data), size, to_l3);
}

static void request_wait(pi_cl_ram_req_t *req, bool to_l3)
{
    shim_check(req->under_way == 1 && req->writes == to_l3, "a wait for what was not asked for");
    shim_ram_wait(req->ticket);
    req->under_way = 0;
}

void pi_cl_ram_read(struct pi_device *device, uint32_t address, void *data, uint32_t size,
                    pi_cl_ram_req_t *req)
{
    request(device, address, data, size, req, false);
}

void pi_cl_ram_write(struct pi_device *device, uint32_t address, void *data, uint32_t size,
                     pi_cl_ram_req_t *req)
{
    request(device, address, data, size, req, true);
}

void pi_cl_ram_read_wait(pi_cl_ram_req_t *req) { request_wait(req, false); }
void pi_cl_ram_write_wait(pi_cl_ram_req_t *req) { request_wait(req, true); }

/* ---- flashes and their files; that of MRAM is read from where opening it has put its content */

volatile uint32_t shim_mram_status;
static pi_fs_file_t open_files[2];

void pi_default_flash_conf_init(struct pi_default_flash_conf *conf) { conf->baudrate = 0; }
void pi_mram_conf_init(struct pi_mram_conf *conf) { conf->baudrate = 15000000; }
int pi_flash_open(struct pi_device *device) { return opened(device); }
void pi_readfs_conf_init(struct pi_readfs_conf *conf) { conf->fs.flash = 0, conf->fs.partition_name = 0; }

int pi_fs_mount(struct pi_device *device)
{
    const struct pi_readfs_conf *conf = device->config;
    shim_check(conf->fs.flash && conf->fs.flash->opened, "files of a flash that is not open");
    return opened(device);
}

static void fill_mram(const char *name)
{
    static PI_L2 _Alignas(8) uint8_t part[4096];
    const int32_t handle = shim_open(name);
    uint32_t at = 0, found;
    while (handle >= 0 && (found = shim_read(handle, part, sizeof part)) > 0) {
        shim_ram_wait(shim_ram_start(SHIM_MRAM + at, number(part), (found + 3u) & ~3u, true));
        at += found;
    }
    if (handle >= 0)
        shim_close(handle);
}

pi_fs_file_t *pi_fs_open(struct pi_device *device, const char *name, int flags)
{
    shim_check(device->opened && flags == 0, "files that are not mounted");
    pi_fs_file_t *const file = &open_files[open_files[0].is_open];
    shim_check(!file->is_open, "a third open file");
    if (name[0] == 'm')
        fill_mram(name);
    file->handle = shim_open(name);
    file->is_open = file->handle >= 0;
    return file->is_open ? file : 0;
}

int32_t pi_fs_read(pi_fs_file_t *file, void *buffer, uint32_t size)
{
    shim_check(file->is_open && shim_in_l2(number(buffer), size), "a file to elsewhere than L2");
    return (int32_t)shim_read(file->handle, buffer, size);
}

void pi_fs_close(pi_fs_file_t *file)
{
    shim_check(file->is_open, "a file that is not open");
    shim_close(file->handle);
    file->is_open = 0;
}

void pi_cl_fs_copy(pi_fs_file_t *file, uint32_t index, void *buffer, uint32_t size, int32_t ext2loc,
                   pi_cl_fs_req_t *req)
{
    shim_check(file->is_open && ext2loc == 1, "a copy of a file that is not open, or into it");
    shim_check(!shim_on_fc() && req->under_way != 1, "a request that is in flight already");
    shim_check(shim_in_l2(number(buffer), size), "a file to elsewhere than L2");
    *req = (pi_cl_fs_req_t){ shim_ram_start(SHIM_MRAM + index, number(buffer), size, false), size, 1 };
}

int32_t pi_cl_fs_wait(pi_cl_fs_req_t *req)
{
    shim_check(req->under_way == 1, "a wait for what was not asked for");
    shim_ram_wait(req->ticket);
    req->under_way = 0;
    return (int32_t)req->bytes;
}

/* ---- serial line */

void pi_uart_conf_init(struct pi_uart_conf *conf) { *conf = (struct pi_uart_conf){ 0 }; }

int pi_uart_open(struct pi_device *device)
{
    const struct pi_uart_conf *conf = device->config;
    shim_check(conf->enable_rx && conf->enable_tx && conf->baudrate_bps > 0, "half a line");
    line_is_open = true;
    shim_line_open();
    return opened(device);
}

int pi_uart_read(struct pi_device *device, void *buffer, uint32_t size)
{
    shim_check(device->opened && line_is_open && shim_in_l2(number(buffer), size), "a line's buffer");
    if (!shim_line_read(buffer, size))
        shim_end(0);
    return 0;
}

int pi_uart_write(struct pi_device *device, void *buffer, uint32_t size)
{
    shim_check(device->opened && line_is_open && shim_in_l2(number(buffer), size), "a line's buffer");
    shim_line_write(buffer, size);
    return 0;
}
