/* What a backend does for the shim: memory, transfers, cores, the serial line. */
#ifndef SHIM_H
#define SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include "pmsis.h"

#include "bsp/flash.h"
#include "bsp/flash/mram.h"
#include "bsp/fs.h"
#include "bsp/fs/readfs.h"
#include "bsp/ram.h"

/* Where L3 starts for the program: no number that is an address of anything else. */
#define SHIM_RAM 0x00A00000u
#define SHIM_RAM_BYTES 0x01000000u
/* The content of MRAM is behind what a program allocates of L3. */
#define SHIM_MRAM 0x00C00000u

/* Ends the program with exit code 99 where a call is not as the SDK wants it. Without SHIM_CHECKS
 * conditions are not evaluated, and cycles are those of the calls alone. */
void shim_fail(const char *what);

#ifdef SHIM_CHECKS
static inline void shim_check(bool holds, const char *what)
{
    if (!holds)
        shim_fail(what);
}
#else
#define shim_check(holds, what) ((void)sizeof(holds))
#endif

bool shim_in_l1(uint32_t address, uint32_t bytes);
bool shim_in_l2(uint32_t address, uint32_t bytes);
bool shim_on_fc(void);

void *shim_l1_room(uint32_t bytes);
void shim_run_task(void (*entry)(void *), void *arg);
uint32_t shim_cycles(void);

/* transfers with L3; offsets count from its start. -> ticket */
uint32_t shim_ram_start(uint32_t offset, uint32_t l2, uint32_t bytes, bool to_l3);
void shim_ram_wait(uint32_t ticket);

/* files of the flash; a handle or less than 0 */
int32_t shim_open(const char *name);
uint32_t shim_read(int32_t file, void *to, uint32_t bytes);
void shim_close(int32_t file);

/* the serial line; whether all bytes came, which ends the program otherwise */
void shim_line_open(void);
bool shim_line_read(void *to, uint32_t bytes);
void shim_line_write(const void *from, uint32_t bytes);
_Noreturn void shim_end(int code);

#endif
