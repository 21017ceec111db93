// SPDX-License-Identifier: Apache-2.0
// State of what lies outside the cluster and is slow: it shares one actor. Part of devices.h.
#pragma once

enum { UARTS = 4, SPIS = 4 }; // the fifth UART is where pulp-open has its hyper

// ---- peripherals.c: what is to happen when
enum Due {
    DUE_INTERRUPT,
    DUE_UART,
    DUE_SPI = DUE_UART + UARTS,
    DUE_READY = DUE_SPI + SPIS,
    DUE_EDGE,
    DUE_BYTE,
    DUE_END,
    DUE_POWER,
    DUE_RESTART,
    DUE_FLASH,
    DUE_CLOCK,
    DUES
};
void due_at(Machine *m, int which, Cycle when); // replaces an earlier plan; NEVER: none
void peripherals_due(Machine *m);
void peripherals_new(Machine *m);
void peripherals_free(Machine *m);
void peripherals_down(Machine *m); // what loses its power with the chip

// ---- soc_events.c
enum { SOC_FIFO = 8, SOC_EVENT_WORDS = 8, SOC_MASKS = 3 * SOC_EVENT_WORDS };
enum { IRQ_SOC_EVENT = 26, IRQ_EVENT_LOST = 29 };
typedef struct {
    uint32_t mask[SOC_MASKS]; // of controller, cluster and uDMA; a bit hides an event
    uint32_t error[SOC_EVENT_WORDS];
    uint8_t fifo[SOC_FIFO];
    uint32_t first, used;
} SocEvents;
void soc_event(Machine *m, uint32_t event, Cycle at);
uint32_t soc_event_taken(Machine *m, Cycle at); // the oldest in the FIFO, 0: none
uint32_t soc_events_load(const Access *a);
void soc_events_store(const Access *a, uint32_t value);

// ---- udma.c
enum { UDMA_CHANNELS = 64, UDMA_OFF = 0xff };
typedef struct {
    uint32_t buffer[2], size; // as written
    uint32_t address, left;   // of the transfer under way; left 0: none
    uint32_t queued, queued_bytes;
    bool in_turn, second;     // continuous mode; which of its buffers
} UdmaChannel;
typedef struct {
    uint32_t control[UDMA_WORDS];
    UdmaChannel channel[UDMA_CHANNELS];
} Udma;
bool udma_has_clock(Machine *m, uint32_t peripheral);
void udma_check(const Access *a, uint32_t peripheral, const char *what); // clock and reset
uint32_t udma_left(Machine *m, uint32_t channel);
// How many bytes the channel had, or had room for.
uint32_t udma_take(Machine *m, uint32_t channel, uint8_t *to, uint32_t bytes, Cycle at);
uint32_t udma_put(Machine *m, uint32_t channel, const uint8_t *from, uint32_t bytes, Cycle at);
uint32_t udma_load(const Access *a);
void udma_store(const Access *a, uint32_t value);
uint32_t udma_channel_load(const Access *a);
void udma_channel_store(const Access *a, uint32_t value);
void udma_changed(Machine *m, Cycle at); // a channel, or a register of a peripheral

// ---- uart.c
enum { UART_FIFO = 8 };
typedef struct {
    uint32_t rx, tx, setup, setup_2, events, error;
    bool busy;
    uint8_t byte; // under way
    Cycle stalled_until; // the other side holds CTS high
    uint8_t fifo[UART_FIFO];
    uint32_t received;
} Uart;
typedef struct {
    Cycle cycle; // in which its stop bit ends
    uint32_t uart, byte;
} LineByte;
typedef struct {
    LineByte *bytes;
    size_t used, room;
} Line;
uint32_t uart_load(const Access *a);
void uart_store(const Access *a, uint32_t value);
void uart_due(Machine *m, int which);
void uart_receive(Machine *m, uint32_t uart, uint8_t byte, Cycle at);
Cycle uart_byte_cycles(Machine *m, uint32_t uart);
void uart_go_on(Machine *m, uint32_t uart, Cycle at);
Cycle periph_cycles(const Machine *m, uint64_t periods); // of so many periods of the peripherals' clock

// ---- gpio.c
enum { GPIO_BANKS = 3, IRQ_GPIO = 15 };
typedef struct {
    uint32_t direction, clock, in, out, enable, type[2], status;
} GpioBank;
uint32_t gpio_load(const Access *a);
void gpio_store(const Access *a, uint32_t value);
void gpio_down(GpioBank *bank);
void gpio_input(Machine *m, uint32_t pin, bool level, Cycle at); // what the outside does
int gpio_level(Machine *m, uint32_t pin);                        // of an output, -1: it is none
bool gpio_is_high(Machine *m, uint32_t pin);                     // as the outside has it
uint32_t pad_function(Machine *m, uint32_t pad);                 // soc.c

// ---- spim.c
enum { SPI_PART = 256 }; // bytes of a transfer at a time
typedef struct {
    uint32_t rx, tx, commands, status, config; // as written
    uint32_t command, kind, word_bytes, left;  // the one under way; bytes left of its transfer
    uint32_t divider, part_bytes;
    int selected;                              // -1: none
    bool busy;
    uint8_t part[SPI_PART];
} Spi;
uint32_t spi_load(const Access *a);
void spi_store(const Access *a, uint32_t value);
void spi_due(Machine *m, int which);
void spi_go_on(Machine *m, uint32_t spi, Cycle at);

// ---- front_end.c, playback.c
enum FrontEndKind { ADS1298, ADS1299, PLAIN_SPI, PLAIN_UART };
enum { FRONT_END_REGISTERS = 26, FRONT_END_BYTES = 512 };
#define NO_PIN 0xffffffffu

typedef struct {
    uint32_t frame, kind; // kind: WRONG_ of playback.c
    int64_t value;
} PlannedFault;
// What Python gives; the arrays stay its own.
typedef struct {
    uint32_t kind, chips, channels, frames, frame_bytes;
    uint32_t spi, chip_select, uart, ready_pin, start_pin, reset_pin, fault_count;
    uint64_t clock_hz, rate_num, rate_den, start, tail; // start and tail in cycles
    const int32_t *counts;                              // [frames, channels], of chips
    const uint8_t *bytes;                               // [frames, frame_bytes], of others
    const PlannedFault *faults;                         // by frame
} Playback;

typedef struct {
    Cycle cycle;
    uint64_t frame;
} ReadyFrame;
typedef struct {
    ReadyFrame *frames;
    size_t used, room;
} Ready;

typedef struct {
    const Playback *playback; // NULL: nothing is on the bus
    enum FrontEndKind kind;
    uint8_t registers[FRONT_END_REGISTERS];
    bool started, start_pin, standby, held, continuous, selected;
    uint8_t command;          // of several bytes, under way
    uint32_t wanted, written; // values of registers
    uint8_t out[FRONT_END_BYTES];
    uint32_t out_bytes, out_at;
    bool is_data;
    // conversions
    bool converting, has_frame, fresh; // fresh: not read yet
    Cycle origin, base;                // of frame 0 (NEVER: not yet); of the first conversion
    uint64_t conversions;
    uint32_t frame, next_fault;
    int64_t bit;                       // of the next data read, turned over; -1: none
    uint64_t sending, sending_end;     // bytes by UART
    Ready ready;
} FrontEnd;
uint8_t front_end_exchange(Machine *m, uint32_t spi, int chip_select, uint8_t byte, Cycle at);
void front_end_select(Machine *m, uint32_t spi, int chip_select, Cycle at);
void front_end_reset(FrontEnd *f);
uint32_t front_end_rate(const FrontEnd *f); // samples a second, 0: none
void front_end_pins(Machine *m, Cycle at);  // outputs may have changed
void conversions_changed(Machine *m, Cycle at, bool anew);
void data_read(Machine *m, uint8_t *bytes, uint32_t count, Cycle at); // its first byte is asked for
void playback_start(Machine *m, const Playback *playback);
void ready_due(Machine *m, int which);
void edge_due(Machine *m, int which);
void byte_due(Machine *m, int which);
void end_due(Machine *m, int which);

// ---- power.c, restart.c
enum PowerState { POWER_RUN, POWER_CONTROL, POWER_IDLE, POWER_CLUSTER_OFF, POWER_RETENTION, POWER_STATES };
enum { // of chip control: soc.c
    RESTART = 0xbc,
    WATCHDOG_AGAIN = 0xc8,
    WATCHDOG_SET = 0xcc,
    SLEEP_CONTROL = 0x104,
    SLEEP_PINS = 0x108,
    SLEEP_COUNTER = 0x10c
};
enum { POWER_BINS = 256 };
typedef struct {
    uint64_t cycles[POWER_STATES];
    uint64_t slow[POWER_STATES];             // those in which the cores' clock is divided further
    uint64_t bins[POWER_BINS][POWER_STATES]; // the same by time, 1 << bin_bits cycles each
    uint32_t bin_bits;
    enum PowerState state;
    Cycle since;
    uint32_t access, data, flags; // registers
    uint32_t domain, mode;        // of the access under way
    Cycle late_rise;              // faults: the cluster's next rise takes so much longer,
    uint32_t lost_wakes;          // so many interrupts of the controller's timer do not come
    bool busy, cluster_off, retention, waking;
    uint32_t entry, restarts;
    uint8_t *image; // L2 as loaded
} Power;
void power_due(Machine *m, int which);
void power_disturb(Machine *m, int64_t late_rise, int64_t lost_wakes); // adds faults
bool power_loses_wake(Machine *m);                                     // counts one down
void power_pins(Machine *m, Cycle at); // a level has changed
void power_check(Core *c, const Insn *i, uint32_t address); // faults where the cluster is powered down
uint32_t *chip_word(Machine *m, uint32_t offset);           // of chip control: soc.c
void cluster_down(Machine *m); // it forgets everything, at m->now, nobody running
void chip_down(Machine *m);    // so does all but L2, pins and what is always on
void chip_restart(Machine *m, bool loaded); // loaded: L2 is as at the beginning
bool restart_keep(Machine *m, uint32_t entry); // false: no memory
void restart_due(Machine *m, int which);
void restart_store(const Access *a, uint32_t value);

// ---- mram.c: the flash on the chip
typedef struct {
    uint32_t registers[UDMA_WORDS];
    uint32_t operation;       // under way, 0: none
    uint32_t at, bytes, l2;   // what is left of it
    bool moved, trimmed;      // moved: a read's bytes have arrived, its event has not come
    Cycle start;              // of what is under way
    bool not_corrected;       // the last read had an error that ECC does not correct
} Mram;
uint32_t mram_load(const Access *a);
void mram_store(const Access *a, uint32_t value);
void mram_due(Machine *m, int which);
void mram_erase_all(Machine *m);
void mram_power_cut(Machine *m, uint32_t seed); // what is under way is left half done

// ---- efuse.c: words that were programmed once
enum { EFUSE_WORDS = 128 };
typedef struct {
    uint32_t word[EFUSE_WORDS], command, timing, protection;
} Efuse;
uint32_t efuse_load(const Access *a);
void efuse_store(const Access *a, uint32_t value);
const uint32_t *efuse_trim(const Machine *m, uint32_t *words); // the flash's; NULL: none are fused

typedef struct {
    Cycle due[DUES];
    SocEvents events;
    Udma udma;
    Uart uart[UARTS];
    Spi spi[SPIS];
    GpioBank gpio[GPIO_BANKS];
    FrontEnd front_end;
    Power power;
    Mram mram;
    Efuse efuse;
    Line line;
} Peripherals;
