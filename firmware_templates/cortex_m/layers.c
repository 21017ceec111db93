/* SPDX-License-Identifier: Apache-2.0
 * cluster.h for a program with one network, whose layers it records.
 */
#include "cluster.h"
#include "exit_codes.h"
#include "host.h"
#include "marks.h"
#include "network.h"
#include "platform.h"
#include "results.h"

extern void (*me_trace)(int32_t result, const void *data, int32_t bytes); /* of network.c, by -DME_TRACE */

static uint32_t spent[ME_LAYERS + 1], since;
static int32_t layers_file = -1;

static void put(const void *from, uint32_t bytes)
{
    if (me_write(layers_file, from, bytes) != bytes)
        me_exit(ME_EXIT_NO_OUTPUT);
}

static void note(int32_t result, const void *data, int32_t bytes)
{
    const uint32_t head[2] = { (uint32_t)result, (uint32_t)bytes };
    spent[result < 0 ? ME_LAYERS : me_layer_of_result[result]] += me_ticks() - since;
    put(head, sizeof head);
    if (bytes > 0)
        put(data, (uint32_t)bytes);
    since = me_ticks();
}

void me_cluster_run(me_work work, void *argument)
{
    if (layers_file < 0)
        layers_file = me_open("layers.bin", ME_WRITE);
    for (int32_t i = 0; i <= ME_LAYERS; i++)
        spent[i] = 0;
    me_trace = note;
    since = me_ticks();
    work(ME_CONTROL_CORE, argument);
    note(-1, 0, 0);
    if (!me_stacks_intact())
        me_exit(ME_EXIT_STACK);
    for (int32_t i = 0; i < ME_LAYERS + ME_COPIES; i++)
        me_marks[i + 1] = me_marks[i] + spent[i];
}
