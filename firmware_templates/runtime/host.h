/* SPDX-License-Identifier: Apache-2.0
 * Semihosting: files of the host that simulates or debugs the chip, and text on its screen. File names are
 * relative to the working directory. Only the fabric controller calls these functions, and not while time
 * is measured.
 */
#ifndef ME_HOST_H
#define ME_HOST_H

#include <stdint.h>

typedef enum { ME_READ = 1, ME_WRITE = 5 } me_mode; /* "rb", "wb" */

/* -> handle, or negative. GVSoC ends the program if a file is missing. */
int32_t me_open(const char *file, me_mode mode);

/* -> bytes read or written: fewer than requested at the end of the file or on errors */
uint32_t me_read(int32_t handle, void *to, uint32_t bytes);
uint32_t me_write(int32_t handle, const void *from, uint32_t bytes);

void me_close(int32_t handle);

void me_print(const char *text);
void me_print_number(int32_t number);

#endif
