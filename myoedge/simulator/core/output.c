// SPDX-License-Identifier: Apache-2.0
// What the program prints, until somebody fetches it.
#include <string.h>

#include "devices.h"

// Half full, the run stops at its next hand-over, so that somebody can; what finds no room is lost.
void put_output(Machine *m, const void *bytes, size_t size)
{
    Output *output = &m->devices->output;
    const size_t room = m->chip.output_bytes - output->used;
    if (size > room) size = room;
    memcpy(output->bytes + output->used, bytes, size);
    output->used += size;
    if (output->used <= m->chip.output_bytes / 2) return;
    if (m->limit > m->now) m->limit = m->now;
    if (m->running >= 0) m->core[m->running].turn = 0;
}

size_t machine_take_output(Machine *m, char *to, size_t size)
{
    Output *output = &m->devices->output;
    if (size > output->used) size = output->used;
    memcpy(to, output->bytes, size);
    output->used -= size;
    memmove(output->bytes, output->bytes + size, output->used);
    return size;
}
