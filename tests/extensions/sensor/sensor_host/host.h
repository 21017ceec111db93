/* SPDX-License-Identifier: Apache-2.0
 * What the files of the port on this machine share: simulated time, faults, the recording.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "sensor_network.h"

#define US 1000ull
#define NEVER UINT64_MAX

#ifdef ME_ADS_SETTINGS
enum { RECORDING_CHANNELS = ME_CHIPS * 8 };
#else
enum { RECORDING_CHANNELS = ME_CHANNELS };
#endif

typedef struct {
    uint32_t frame;
    char kind[16];
    int64_t value;
} fault;

/* The fault of this kind at a frame, or 0. */
const fault *fault_at(uint32_t frame, const char *kind);

extern int32_t *recording; /* [frames, RECORDING_CHANNELS] */
extern uint32_t frames;
extern uint64_t now, stalled_until; /* ns */
extern uint32_t next_pass_us;
extern bool passes; /* between the begin and the end of a pass */

/* Interrupts that wait to be served. */
extern bool pending_edge, pending_sample, pending_sent, pending_received;

/* Lets time pass; interrupts are served if they are on. */
void advance(uint64_t until, bool until_interrupt);

/* ---- front end (front_end_host.c) */

void reset_registers(void);

/* The number of the next data-ready, and whether there are any. */
uint32_t next_frame(void);
bool is_converting(void);

/* When it does something next, and lets it do it, if that is now. */
uint64_t front_end_due(void);
void front_end_act(void);

#endif
