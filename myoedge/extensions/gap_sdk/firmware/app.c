/* SPDX-License-Identifier: Apache-2.0
 * The fabric controller's program: starts the chip, then runs the network when the host requests it
 * (ME_UART), or once on the golden sample, and prints the measured cycles.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "me_gap.h"
#include "network.h"
#include "pmsis_runtime.h"
#include "port.h"
#include "ports.h"
#include "serve.h"

enum { OK, NO_LINE = 17, DIFFERS }; /* exit codes in addition to those of me_status.h */

static const me_operating_point point = { .clock_hz = ME_APP_CLOCK_HZ, .millivolts = ME_APP_MILLIVOLTS };
static me_gap network;

/* ---- start */

/* The voltage is set first: the chip starts with a low clock, which any voltage allows. */
static bool start_clocks(void)
{
    return pi_pmu_voltage_set(PI_PMU_VOLTAGE_DOMAIN_CHIP, point.millivolts) == 0
        && pi_freq_set(PI_FREQ_DOMAIN_FC, point.clock_hz) >= 0
        && pi_freq_set(PI_FREQ_DOMAIN_PERIPH, point.clock_hz) >= 0;
}

/* ---- the network */

int me_cluster_pass(const void *const in[], void *const out[])
{
    const me_status status = me_start(&network, in, out, 0, 0);
    return status == ME_OK && me_wait() == ME_OK ? 0 : -1;
}

#ifdef ME_PASS_FRAMES /* with a stream, the inputs hold one frame */
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
bool me_infer(void) { return me_cluster_pass(me_inputs, me_outputs) == 0; }

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
#ifdef ME_PRINT_OUTPUTS /* golden.h may hold other inputs; the host then compares the outputs */
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
        return ME_WRONG_CORE;
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
    const me_gap_options options = { .point = &point };
    return start_clocks() ? (int32_t)me_open(&network, &me_info, &options) : (int32_t)ME_NO_CLOCK;
}

int main(void)
{
    const int32_t code = started();
    if (code != OK) {
        printf("%s: cannot start, code %ld of app.c and me_gap.h\n", me_digest, (long)code);
        return code;
    }
#ifdef ME_UART
    return me_serve() ? OK : NO_LINE;
#else
    return run_golden();
#endif
}
