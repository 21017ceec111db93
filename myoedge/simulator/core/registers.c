// SPDX-License-Identifier: Apache-2.0
// Which registers of a device exist, and which of them programs may read and write.
#include "devices.h"

typedef struct {
    enum Device device;
    const char *name;
    uint32_t offset, count, stride; // of the first one; how many; bytes from one to the next
    uint32_t access;
    const char *source;
} Register;

enum { R = 1, W = 2, RW = R | W };
#define SDK(page) page ".rst, gap_sdk 3c2f102b"
#define MODEL(file) file ", gap_sdk 3c2f102b"
#define GVSOC(file) file ", GVSoC 209c147"
#define X(device, name, offset, count, stride, access, source) \
    {DEVICE_##device, #name, offset, count, stride, access, source},
static const Register ROWS[] = {
#include "registers.def"
#include "peripherals.def"
};
#undef X
enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

static const Register *register_at(enum Device device, uint32_t offset)
{
    for (const Register *r = ROWS; r < ROWS + ROW_COUNT; r++) {
        const uint32_t behind = offset - r->offset;
        if (r->device == device && behind < r->count * r->stride && !(behind % r->stride)) return r;
    }
    return NULL;
}

bool takes_access(const Access *a, enum Device device, bool is_store)
{
    const Register *r = register_at(device, a->offset);
    if (!r) no_register(a);
    if (r->access & (is_store ? W : R)) return true;
    if (!a->c->m->chip.register_strict) return false;
    fault(a->c->m, a->c->id, FAULT_REGISTER, pc_of(a->c->m, a->i), a->address,
          "%s of %s at 0x%08x, which is %s (%s)", is_store ? "store" : "load", r->name, a->address,
          is_store ? "read-only" : "write-only", r->source);
}
