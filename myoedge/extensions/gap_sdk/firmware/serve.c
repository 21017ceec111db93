/* SPDX-License-Identifier: Apache-2.0
 * Requests of the host; each has one answer with the same number.
 *   'i'             -> 'I' version, bytes of inputs, bytes of outputs, layers, then me_digest
 *   'w' at, bytes   -> 'W'                writes to the inputs, which are contiguous
 *   'r' times       -> 'R'                runs the network `times` times; cycles are those of the last run;
 *                                         for a stream, takes the inputs as a frame
 *   'z'             -> 'Z'                discards the frames of a stream
 *   'g' at, count   -> 'G' bytes          outputs, then the cycles of each layer and in total
 *   'q'             -> 'Q'                ends the program
 * Any other request, or a damaged frame: 'N' and the reason.
 */
#ifdef ME_UART
#include "serve.h"

#include <string.h>

#include "console.h"
#include "line.h"
#include "pmsis_runtime.h"
#include "port.h"
#include "ports.h"

enum { VERSION = 1, WORD = 4 };
enum { DAMAGED = 1, UNKNOWN, OUTSIDE, NOT_RUN };

static me_frame frame;
static PI_L2 uint8_t word_aligned[ME_FRAME_BYTES];

static uint32_t word_of(uint32_t number)
{
    uint32_t value;
    memcpy(&value, frame.payload + WORD * number, sizeof value);
    return value;
}

static void put_word(uint32_t number, uint32_t value)
{
    memcpy(frame.payload + WORD * number, &value, sizeof value);
}

static void answer(uint8_t kind, uint32_t size)
{
    frame.kind = kind;
    frame.size = (uint16_t)size;
    me_console_send(&frame);
}

static void refuse(uint8_t why)
{
    frame.payload[0] = why;
    answer('N', 1);
}

static uint32_t total_bytes(const me_port *ports, uint32_t count)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += ports[i].bytes;
    return bytes;
}

/* ---- reading and writing ports, in L2 or L3 */

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void write_port(const me_port *port, uint32_t at, const uint8_t *from, uint32_t bytes)
{
    if (port->l2) {
        memcpy(port->l2 + at, from, bytes);
    } else {
        memcpy(word_aligned, from, bytes);
        pi_ram_write(&me_ram, me_l3_base + port->l3 + at, word_aligned, bytes);
    }
}

static void read_port(const me_port *port, uint32_t at, uint8_t *to, uint32_t bytes)
{
    if (port->l2) {
        memcpy(to, port->l2 + at, bytes);
    } else {
        pi_ram_read(&me_ram, me_l3_base + port->l3 + at, word_aligned, bytes);
        memcpy(to, word_aligned, bytes);
    }
}

static void put_inputs(uint32_t at, const uint8_t *from, uint32_t bytes)
{
    for (const me_port *port = me_input_ports; bytes; at -= port++->bytes) {
        if (at >= port->bytes)
            continue;
        const uint32_t part = min_u32(bytes, port->bytes - at);
        write_port(port, at, from, part);
        from += part, at += part, bytes -= part;
    }
}

static void get_outputs(uint32_t at, uint8_t *to, uint32_t bytes)
{
    for (const me_port *port = me_output_ports; bytes; at -= port++->bytes) {
        if (at >= port->bytes)
            continue;
        const uint32_t part = min_u32(bytes, port->bytes - at);
        read_port(port, at, to, part);
        to += part, at += part, bytes -= part;
    }
}

static void get_cycles(uint32_t at, uint8_t *to, uint32_t bytes)
{
    for (; bytes--; at++)
        *to++ = (uint8_t)(me_cycles_of(at / WORD) >> 8 * (at % WORD));
}

/* ---- requests of the host */

static void send_build(void)
{
    const uint32_t length = (uint32_t)strlen(me_digest);
    put_word(0, VERSION);
    put_word(1, total_bytes(me_input_ports, me_input_count));
    put_word(2, total_bytes(me_output_ports, me_output_count));
    put_word(3, me_layer_count);
    memcpy(frame.payload + 4 * WORD, me_digest, length);
    answer('I', 4 * WORD + length);
}

static void receive_inputs(void)
{
    const uint32_t at = word_of(0), all = total_bytes(me_input_ports, me_input_count);
    const uint32_t bytes = frame.size - (uint32_t)WORD;
    if (frame.size < WORD || at > all || bytes > all - at) {
        refuse(OUTSIDE);
        return;
    }
    put_inputs(at, frame.payload + WORD, bytes);
    answer('W', 0);
}

static void run(void)
{
    bool ran = frame.size == WORD && word_of(0) > 0;
    for (uint32_t left = ran ? word_of(0) : 0; left > 0 && ran; left--)
        ran = me_infer();
    if (ran)
        answer('R', 0);
    else
        refuse(NOT_RUN);
}

static void restart(void)
{
    me_restart();
    answer('Z', 0);
}

static void send_results(void)
{
    const uint32_t outputs = total_bytes(me_output_ports, me_output_count);
    const uint32_t all = outputs + WORD * (me_layer_count + 1);
    const uint32_t at = word_of(0), bytes = word_of(1);
    if (frame.size != 2 * WORD || bytes > ME_FRAME_BYTES || at > all || bytes > all - at) {
        refuse(OUTSIDE);
        return;
    }
    const uint32_t first = at < outputs ? min_u32(bytes, outputs - at) : 0;
    get_outputs(at, frame.payload, first);
    get_cycles(at + first - outputs, frame.payload + first, bytes - first);
    answer('G', bytes);
}

static void respond(void)
{
    switch (frame.kind) {
    case 'i': send_build(); break;
    case 'w': receive_inputs(); break;
    case 'r': run(); break;
    case 'z': restart(); break;
    case 'g': send_results(); break;
    case 'q': answer('Q', 0); break;
    default: refuse(UNKNOWN);
    }
}

bool me_serve(void)
{
    if (!me_line_open(ME_BAUD_RATE))
        return false;
    send_build();
    do {
        frame.kind = 0;
        if (me_console_receive(&frame))
            respond();
        else
            refuse(DAMAGED);
    } while (frame.kind != 'Q');
    return true;
}
#endif
