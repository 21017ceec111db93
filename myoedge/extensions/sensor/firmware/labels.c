/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <stdbool.h>

#include "library/me_adapt.h"
#include "packet.h"
#include "receive.h"
#include "samples.h"
#include "sensor_network.h"
#include "sensor_port.h"
#include "transmit.h"

enum { COMMAND_BYTES = 6, WAITING = 8 };

typedef struct {
    uint32_t command, argument;
} request;

static volatile request requests[WAITING];
static volatile uint32_t came, served; /* received and executed requests, modulo 2**32 */
static uint32_t label = ME_NO_LABEL, labelled_from;

void me_labels_command(const uint8_t *message, uint32_t bytes)
{
    if (bytes != COMMAND_BYTES || came - served == WAITING)
        return;
    requests[came % WAITING].command = message[2];
    requests[came % WAITING].argument = message[4] | (uint32_t)message[5] << 8;
    came = came + 1;
}

static int32_t as_label(uint32_t argument)
{
    return argument == ME_PSEUDO_LABEL ? ME_ADAPT_PSEUDO : (int32_t)argument;
}

static int32_t set_label(uint32_t argument)
{
    if (argument != ME_NO_LABEL && me_adapt_takes(as_label(argument)) < 0)
        return -1;
    label = argument;
    labelled_from = me_samples_end();
    return 0;
}

static int32_t carry_out(uint32_t command, uint32_t argument)
{
    label = ME_NO_LABEL;
    switch (command) {
    case ME_COMMAND_BEGIN: return me_adapt_begin((int32_t)argument);
    case ME_COMMAND_LABEL: return set_label(argument);
    case ME_COMMAND_END: return me_adapt_end();
    case ME_COMMAND_RESET: me_adapt_reset(); return 0;
    default: return -1;
    }
}

static void answer(uint32_t command, int32_t result)
{
    me_packet packet;
    me_packet_begin(&packet, ME_ADAPTED, me_samples_end() - 1, me_port_us());
    me_packet_u8(&packet, (uint8_t)command);
    me_packet_u32(&packet, (uint32_t)result);
    me_transmit(&packet);
}

/* Ending a session may take several seconds. */
void me_labels_serve(void)
{
    me_adapt_progress = me_port_watchdog_feed;
    while (served != came) {
        const volatile request *next = &requests[served % WAITING];
        const uint32_t command = next->command, argument = next->argument;
        served = served + 1;
        answer(command, carry_out(command, argument));
    }
}

void me_labels_window(uint32_t first_sample)
{
    if (label == ME_NO_LABEL || (int32_t)(first_sample - labelled_from) < 0)
        return;
    me_adapt_window(as_label(label));
}

#ifndef ME_SAMPLES_ON_LINE
void me_received(const uint8_t *message, uint32_t bytes)
{
    (void)message;
    (void)bytes;
}

void me_received_broken(void) {}
#endif
