// SPDX-License-Identifier: Apache-2.0
// State of the devices, and what they ask of each other. All times are cycles of the cluster.
#pragma once
#include "core.h"

// A register access: by whom, of which address, and how far into its device that is.
typedef struct {
    Core *c;
    const Insn *i;
    uint32_t address, offset;
} Access;

_Noreturn void no_register(const Access *a); // nothing is known of the register

// ---- registers.c: what registers.def lists
enum Device {
    DEVICE_EVENT_UNIT,
    DEVICE_EVENT_UNITS,
    DEVICE_MCHAN,
    DEVICE_CLUSTER_CONTROL,
    DEVICE_CLUSTER_CACHE,
    DEVICE_NE16,
    DEVICE_TIMER,
    DEVICE_ITC,
    DEVICE_FC_CACHE,
    DEVICE_FLL,
    DEVICE_POWER,
    DEVICE_CHIP_CONTROL,
    DEVICE_STDOUT,
    DEVICE_UDMA,
    DEVICE_OCTOSPI,
    DEVICE_HYPER,
    DEVICE_HYPER_COMMON,
    DEVICE_SOC_EVENTS,
    DEVICE_UDMA_CHANNEL,
    DEVICE_UART,
    DEVICE_SPI,
    DEVICE_GPIO,
    DEVICE_MRAM,
    DEVICE_EFUSE
};
// Whether a register is there for a load or a store. Else a fault, or, for one that can only be
// accessed the other way where register_strict is 0, false.
bool takes_access(const Access *a, enum Device device, bool is_store);
_Noreturn void misused(const Access *a, enum Fault kind, const char *what);

typedef struct {
    uint64_t dma_in_bytes, dma_out_bytes, dma_transfers, dma_busy_cycles;
    uint64_t l3_read_bytes, l3_written_bytes, l3_transfers, l3_busy_cycles;
    uint64_t ne16_jobs, ne16_busy_cycles;
    uint64_t mram_read_bytes, mram_reads, mram_busy_cycles;
} DeviceCounts;
const DeviceCounts *device_counts(const Machine *m);

// Why a core sleeps: each cause has its own way to wake it.
enum Waiting { NOT_WAITING, WAITS_EVENT, WAITS_INTERRUPT, WAITS_DMA_ID, WAITS_DMA_QUEUE };

// ---- event_unit.c, synchronize.c
enum {
    EVENT_DMA = 8,
    EVENT_DMA_INTERRUPT = 9,
    EVENT_TIMER = 10,
    EVENT_BARRIER = 16,
    EVENT_MUTEX = 17,
    EVENT_DMA_OUTER = 22
};
enum { BARRIERS = 16, MUTEXES = 16, CLUSTER = 9 };

typedef struct {
    uint32_t buffer, mask, interrupt_mask, targets; // targets: of trigger-and-wait
    uint32_t clear;                                 // what waking up clears of the buffer
    bool skips_next; // the next event that the mask lets through is lost: see disturb.c
} CoreEvents;

typedef struct {
    uint32_t trigger, target, arrived;
} Barrier;
typedef struct {
    bool locked;
    uint32_t waiting, value;
} Mutex;

typedef struct {
    CoreEvents core[CLUSTER];
    Barrier barrier[BARRIERS];
    Mutex mutex[MUTEXES];
} EventUnit;

uint32_t event_unit_load(const Access *a); // the window of the own core
void event_unit_store(const Access *a, uint32_t value);
uint32_t event_units_load(const Access *a); // all of them, from the interconnect
void event_units_store(const Access *a, uint32_t value);
void raise_event(Machine *m, int core, int event, Cycle at);
bool is_skipped(bool *skips_next, uint32_t lines); // whether a disturbance loses lines of the mask
void raise_everywhere(Machine *m, int event, Cycle at);
void events_changed(Machine *m, int core, Cycle at); // wakes the core if that is due

uint32_t barrier_load(const Access *a, uint32_t offset);
void barrier_store(const Access *a, uint32_t offset, uint32_t value);
bool barrier_arrive(const Access *a, uint32_t offset); // false: no register to wait at
uint32_t mutex_load(const Access *a, uint32_t offset);
void mutex_store(const Access *a, uint32_t offset, uint32_t value);
bool mutex_take(const Access *a, uint32_t offset); // false: the core has to wait
void software_event(const Access *a, uint32_t event, uint32_t cores);

// ---- dma.c, dma_engine.c, watch.c
enum {
    DMA_IDS = 16,
    CHANNELS = 10,
    OUTER_CHANNEL = 9,
    DMA_DEPTH = 32,
    DMA_PORTS = 8,
    TRANSFERS = 512,
    DMA_WORDS = 5
};
enum { STEP_MOVE, STEP_ASK, STEP_PREPARE, STEP_PORTS, STEPS };

typedef struct {
    bool live, out, event, interrupt, broadcast;
    uint8_t channel, id;
    uint32_t l1, outer;             // first byte: offset in L1, address in L2
    uint32_t bytes, asked, moved;   // in the order of L1's bytes
    uint32_t line_bytes, stride;    // line_bytes == bytes: one line
    Cycle start;
} Transfer;

typedef struct {
    uint16_t of[DMA_DEPTH];
    uint32_t first, used;
} TransferQueue;
typedef struct {
    uint16_t transfer;
    uint32_t at, outer, bytes, done; // outer: address of its first byte, with which others are in line
} Burst;

typedef struct {
    uint32_t words[DMA_WORDS], used;
    int id;                         // of the next commands, -1: none yet
    TransferQueue queue;
} Channel;

typedef struct {
    uint32_t allocated;             // a bit an id
    uint32_t pending[DMA_IDS];      // bytes
    int granted[CORES];             // the id that a held core gets when it asks again, or -1
    uint8_t id_waiters[CORES];
    uint32_t id_waiting;
    uint8_t waits_channel[CORES];
    Channel channel[CHANNELS];
    uint32_t next_channel;          // round robin
    uint32_t queued[2];             // in the channels; by direction, 1: out
    TransferQueue global[2];
    int current[2];                 // the transfer whose bursts are asked for, or -1
    Burst burst[DMA_DEPTH];         // under way from L2
    uint32_t first_burst, bursts;
    Burst reading;                  // the one under way from L1
    bool is_reading;
    Cycle port_free[2][DMA_PORTS];
    Cycle due[STEPS];
    Transfer transfer[TRANSFERS];
    bool loses_next;                // the next transfer that moves bytes is lost: see disturb.c
    int lost;                       // the transfer that moves nothing, plus 1; 0: none
    uint32_t live;
    Cycle busy_from;
} Dma;

uint32_t dma_load(const Access *a); // the own core's channel
void dma_store(const Access *a, uint32_t value);
uint32_t dma_outer_load(const Access *a); // the channel of the interconnect
void dma_outer_store(const Access *a, uint32_t value);
void dma_due(Machine *m);
void dma_new(Dma *dma);
void dma_arm(Machine *m, Cycle at); // plans the steps that have become possible
void dma_queue(TransferQueue *queue, uint16_t transfer);
void dma_moved(Machine *m, uint32_t channel, Cycle at); // a channel has room for a command again

typedef struct {
    uint32_t first, bytes;
} Guard;
enum { GUARDS = 16 };
typedef struct {
    uint16_t *transfers; // a count for every 64 B of L1
    Guard guard[GUARDS];
    uint32_t guards;
} Watch;

void watch_transfer(const Access *a, const Transfer *t); // before it is live
void unwatch_transfer(Machine *m, const Transfer *t);
void watch_l2_transfer(const Access *a, const Transfer *t);

void watch_ne16(Machine *m, uint32_t first, uint32_t bytes, bool is_store);

static inline bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

// Whether a transfer has yet to move some of these bytes.
typedef bool (*Touches)(const Transfer *t, uint32_t first, uint32_t bytes);
// The live transfer that touches them, among those of the wanted directions; NULL: none.
const Transfer *transfer_touching(Machine *m, Touches touches, uint32_t first, uint32_t bytes, bool in,
                                  bool out);

// ---- itc.c: interrupts of the fabric controller
typedef struct {
    uint32_t mask, status;
    bool skips_next; // the next interrupt that the mask lets through is lost: see disturb.c
} Itc;
enum { IRQ_TIMER = 10, IRQ_DMA = 8, IRQ_L3 = 30 };
uint32_t itc_load(const Access *a);
void itc_store(const Access *a, uint32_t value);
void raise_interrupt(Machine *m, int line, Cycle at);
void interrupt_due(Machine *m, int which);
_Noreturn void interrupt_taken(Machine *m, int core, uint32_t lines); // on a core of the cluster

// ---- timers.c
enum { TIMER_CLUSTER, TIMER_FC, TIMER_FC_SECOND, TIMERS };
typedef struct {
    uint32_t config[2], value[2], compare[2];
    Cycle since; // value holds for this cycle
} Timer;
uint32_t timer_load(const Access *a);
void timer_store(const Access *a, uint32_t value);
void timers_due(Machine *m);
void timers_clock(Machine *m, uint32_t core_cycles, Cycle at); // the cores' clock changes

// ---- l3.c
enum { L3_DEPTH = 64, L3_SLOTS = 8, UDMA_WORDS = 32 };
typedef struct {
    bool read;
    int slot;                  // of the hyper v3, -1: octospi v4
    uint32_t l2, l3, bytes;
    Cycle cycles, start;
} L3Job;
typedef struct {
    uint32_t v4[UDMA_WORDS], slot[L3_SLOTS][UDMA_WORDS], common[UDMA_WORDS];
    L3Job job[L3_DEPTH];
    uint32_t first, jobs;
} L3;
void watch_l2_job(const Access *a, const L3Job *job); // before it is queued
uint32_t octospi_load(const Access *a);
void octospi_store(const Access *a, uint32_t value);
uint32_t hyper_load(const Access *a);
void hyper_store(const Access *a, uint32_t value);
uint32_t hyper_common_load(const Access *a);
void hyper_common_store(const Access *a, uint32_t value);
void l3_due(Machine *m);

// ---- ne16.c
typedef struct Ne16 Ne16; // ne16.h
Ne16 *ne16_new(void); // NULL: no memory
void ne16_reset(Ne16 *n);
uint32_t ne16_load(const Access *a);
void ne16_store(const Access *a, uint32_t value);
void ne16_due(Machine *m);
uint64_t ne16_busy_until(const Machine *m, Cycle t); // cycles of all jobs, the running one included

// ---- soc.c
enum { FLL_WORDS = 1024, CHIP_WORDS = 1024 };
typedef struct {
    uint32_t fll[FLL_WORDS], control[CHIP_WORDS], core_status;
    uint32_t boot_address[CLUSTER], fetch_enable, clock_gate, cluster_clocks;
    uint32_t periph_cycles; // of a period of the peripherals' clock: clock.c
    Cycle clock_late;       // fault: the next change of a clock comes so much later
} Soc;
uint32_t chip_control_load(const Access *a);
void chip_control_store(const Access *a, uint32_t value);
uint32_t power_load(const Access *a);
void power_store(const Access *a, uint32_t value);
uint32_t cluster_control_load(const Access *a);
void cluster_control_store(const Access *a, uint32_t value);
void fc_cache_store(const Access *a, uint32_t value);
void cluster_cache_store(const Access *a, uint32_t value);
void stdout_store(const Access *a, uint32_t value);

// ---- clock.c
uint32_t fll_load(const Access *a);
void fll_store(const Access *a, uint32_t value);
void clock_due(Machine *m, int which);
void clock_disturb(Machine *m, int64_t late); // adds a fault
void clock_reset(Machine *m);
uint32_t periph_periods(const Machine *m); // cycles in a period of the peripherals' clock

// ---- semihost.c, output.c
enum { FILES = 16 };
typedef struct {
    int fd;
    bool open, is_output;
} File;
typedef struct {
    int folder; // -1: nowhere
    File file[FILES];
    uint64_t written, read, printed, opened; // bytes; files
} Files;
typedef struct {
    char *bytes;
    size_t used;
} Output;

void machine_set_folder(Machine *m, int fd); // stays the caller's; -1: semihosting opens nothing
size_t machine_take_output(Machine *m, char *to, size_t size); // stdout so far, and forgets it
void put_output(Machine *m, const void *bytes, size_t size);
void files_close(Machine *m);

#include "peripherals.h"

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

struct Devices {
    EventUnit events;
    Dma dma;
    Watch watch;
    Itc itc;
    Timer timer[TIMERS];
    L3 l3;
    Peripherals peripherals;
    Ne16 *ne16;
    Soc soc;
    Files files;
    Output output;
    DeviceCounts counts;
    enum Waiting waiting[CORES];
};

// Puts a core to rest until `cause` is over; the caller hands over.
void core_waits(Core *c, enum Waiting cause);
