// SPDX-License-Identifier: Apache-2.0
// Pins: outputs that the front end sees, inputs whose edges interrupt the fabric controller. A pin
// is a GPIO only while its pad is (PADFUN 1) and its clock is on (GPIOEN).
#include "devices.h"

enum {
    DIRECTION = 0x00,
    CLOCK = 0x04,
    IN = 0x08,
    OUT = 0x0c,
    OUT_SET = 0x10,
    OUT_CLEAR = 0x14,
    ENABLE = 0x18,
    TYPE_LOW = 0x1c,
    TYPE_HIGH = 0x20,
    STATUS = 0x24,
    BANK_BYTES = 0x48
};
enum { FALLING, RISING, BOTH };
enum { SOC_EVENT_GPIO = 42, AS_GPIO = 1 };

static GpioBank *bank_of(Machine *m, uint32_t pin) { return &m->devices->peripherals.gpio[pin / 32]; }

static bool is_gpio(Machine *m, uint32_t pin)
{
    return pad_function(m, pin) == AS_GPIO && bank_of(m, pin)->clock >> pin % 32 & 1;
}

// Whether the pin is one to be told of, by the edge that it has just made.
static bool interrupts(Machine *m, uint32_t pin, bool level)
{
    const GpioBank *b = bank_of(m, pin);
    const uint32_t at = pin % 32, kind = b->type[at / 16] >> 2 * (at % 16) & 3;
    if (!is_gpio(m, pin) || b->direction >> at & 1 || !(b->enable >> at & 1)) return false;
    return kind == BOTH || kind == (level ? RISING : FALLING);
}

void gpio_input(Machine *m, uint32_t pin, bool level, Cycle at)
{
    GpioBank *b = bank_of(m, pin);
    const uint32_t bit = 1u << pin % 32;
    if (!(b->in & bit) == !level) return;
    b->in ^= bit;
    power_pins(m, at);
    if (!interrupts(m, pin, level)) return;
    b->status |= bit;
    raise_interrupt(m, IRQ_GPIO, at);
    soc_event(m, SOC_EVENT_GPIO, at);
}

int gpio_level(Machine *m, uint32_t pin)
{
    const GpioBank *b = bank_of(m, pin);
    if (!is_gpio(m, pin) || !(b->direction >> pin % 32 & 1)) return -1;
    return b->out >> pin % 32 & 1;
}

bool gpio_is_high(Machine *m, uint32_t pin) { return bank_of(m, pin)->in >> pin % 32 & 1; }

// Levels from outside stay.
void gpio_down(GpioBank *b) { *b = (GpioBank){.in = b->in}; }

static GpioBank *bank(const Access *a)
{
    if (a->offset / BANK_BYTES >= GPIO_BANKS) no_register(a);
    return &a->c->m->devices->peripherals.gpio[a->offset / BANK_BYTES];
}

uint32_t gpio_load(const Access *a)
{
    GpioBank *b = bank(a);
    const uint32_t status = b->status;
    switch (a->offset % BANK_BYTES) {
    case DIRECTION: return b->direction;
    case CLOCK: return b->clock;
    case IN: return ((b->in & ~b->direction) | (b->out & b->direction)) & b->clock;
    case OUT: return b->out;
    case ENABLE: return b->enable;
    case TYPE_LOW: return b->type[0];
    case TYPE_HIGH: return b->type[1];
    case STATUS: b->status = 0; return status;
    default: no_register(a);
    }
}

void gpio_store(const Access *a, uint32_t value)
{
    GpioBank *b = bank(a);
    switch (a->offset % BANK_BYTES) {
    case DIRECTION: b->direction = value; break;
    case CLOCK: b->clock = value; break;
    case OUT: b->out = value; break;
    case OUT_SET: b->out |= value; break;
    case OUT_CLEAR: b->out &= ~value; break;
    case ENABLE: b->enable = value; break;
    case TYPE_LOW: b->type[0] = value; break;
    case TYPE_HIGH: b->type[1] = value; break;
    default: no_register(a);
    }
    front_end_pins(a->c->m, a->c->t);
}
