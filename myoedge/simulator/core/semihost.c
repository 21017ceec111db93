// SPDX-License-Identifier: Apache-2.0
// Semihosting: a program's way to files and to the terminal. It can open plain names in the folder
// of the run, and nothing else: no path, no link, no device, no pipe; what is not allowed answers
// -1. What it reads, prints and writes in all is limited.
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices.h"

enum {
    OPEN = 0x01,
    CLOSE = 0x02,
    WRITE_CHARACTER = 0x03,
    WRITE_STRING = 0x04,
    WRITE = 0x05,
    READ = 0x06,
    READ_CHARACTER = 0x07,
    IS_ERROR = 0x08,
    IS_TERMINAL = 0x09,
    SEEK = 0x0a,
    LENGTH = 0x0c,
    EXIT = 0x18,
    EXIT_EXTENDED = 0x20,
    ELAPSED = 0x30
};
enum { ENDED_WELL = 0x20026, A0 = 10, A1 = 11, NAME_BYTES = 255, STRING_BYTES = 1 << 16 };
#define FAILED 0xffffffffu

static Files *files(Core *c) { return &c->m->devices->files; }

// Word n of the block that a1 points to.
static bool word(Core *c, uint32_t n, uint32_t *value)
{
    const uint8_t *bytes = memory_at(c->m, c->r[A1] + 4 * n, 4);
    if (bytes) memcpy(value, bytes, 4);
    return bytes != NULL;
}

static bool words(Core *c, uint32_t count, uint32_t *to)
{
    for (uint32_t n = 0; n < count; n++)
        if (!word(c, n, &to[n])) return false;
    return true;
}

static File *file_at(Core *c, uint32_t handle)
{
    if (handle < 1 || handle > FILES || !files(c)->file[handle - 1].open) return NULL;
    return &files(c)->file[handle - 1];
}

static bool is_plain_name(const char *name, uint32_t length)
{
    for (uint32_t n = 0; n < length; n++)
        if (name[n] == '/' || (unsigned char)name[n] < ' ' || name[n] == 0x7f) return false;
    return strcmp(name, ".") && strcmp(name, "..");
}

// The name of a block of open: address, mode, length.
static bool read_name(Core *c, const uint32_t block[3], char name[NAME_BYTES + 1])
{
    if (!block[2] || block[2] > NAME_BYTES || block[1] > 11) return false;
    const uint8_t *bytes = memory_at(c->m, block[0], block[2]);
    if (!bytes) return false;
    memcpy(name, bytes, block[2]);
    name[block[2]] = 0;
    return is_plain_name(name, block[2]);
}

// Modes as those of fopen: r, r+, w, w+, a, a+, each also as binary.
static int flags_of(uint32_t mode)
{
    static const int FLAGS[] = {O_RDONLY,
                                O_RDWR,
                                O_WRONLY | O_CREAT,
                                O_RDWR | O_CREAT,
                                O_WRONLY | O_CREAT | O_APPEND,
                                O_RDWR | O_CREAT | O_APPEND};
    return FLAGS[mode / 2] | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
}

static bool is_ordinary(const struct stat *s, bool writes)
{
    return S_ISREG(s->st_mode) && (!writes || s->st_nlink == 1);
}

static int open_file(int folder, const char *name, uint32_t mode)
{
    const bool writes = mode >= 2, empties = mode / 4 == 1;
    struct stat s;
    if (!fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) && !is_ordinary(&s, writes)) return -1;
    const int fd = openat(folder, name, flags_of(mode), 0644);
    if (fd < 0) return -1;
    if (!fstat(fd, &s) && is_ordinary(&s, writes) && !(empties && ftruncate(fd, 0))) return fd;
    close(fd);
    return -1;
}

static uint32_t put_file(Core *c, File file)
{
    for (uint32_t n = 0; n < FILES; n++) {
        if (files(c)->file[n].open) continue;
        files(c)->file[n] = file;
        return n + 1;
    }
    if (!file.is_output) close(file.fd);
    return FAILED;
}

static uint32_t do_open(Core *c)
{
    uint32_t block[3];
    char name[NAME_BYTES + 1];
    if (!words(c, 3, block) || !read_name(c, block, name)) return FAILED;
    if (!strcmp(name, ":tt")) return put_file(c, (File){-1, true, true});
    if (files(c)->folder < 0 || files(c)->opened++ >= c->m->chip.file_opens) return FAILED;
    const int fd = open_file(files(c)->folder, name, block[1]);
    return fd < 0 ? FAILED : put_file(c, (File){fd, true, false});
}

static uint32_t do_close(Core *c)
{
    uint32_t handle;
    File *file = word(c, 0, &handle) ? file_at(c, handle) : NULL;
    if (!file) return FAILED;
    if (!file->is_output) close(file->fd);
    file->open = false;
    return 0;
}

// Whether so much may still be moved: the calls take few cycles, whatever they move.
static bool may_move(uint64_t *moved, uint32_t size, uint32_t limit)
{
    if (*moved + size > limit) return false;
    *moved += size;
    return true;
}

static bool may_print(Core *c, uint32_t size)
{
    return may_move(&files(c)->printed, size, c->m->chip.print_bytes);
}

static bool may_read(Core *c, uint32_t size)
{
    return may_move(&files(c)->read, size, c->m->chip.file_bytes);
}

// Where the next byte goes.
static off_t place(const File *file)
{
    struct stat s;
    if (!(fcntl(file->fd, F_GETFL) & O_APPEND)) return lseek(file->fd, 0, SEEK_CUR);
    return fstat(file->fd, &s) ? -1 : s.st_size;
}

// Whether so much may still be written, and the file not grow past the limit.
static bool may_write(Core *c, const File *file, uint32_t size)
{
    const off_t at = place(file);
    if (at < 0 || (uint64_t)at + size > c->m->chip.file_bytes) return false;
    return may_move(&files(c)->written, size, c->m->chip.file_bytes);
}

static uint32_t write_all(int fd, const uint8_t *bytes, uint32_t size)
{
    while (size) {
        const ssize_t done = write(fd, bytes, size);
        if (done <= 0) break;
        bytes += done;
        size -= (uint32_t)done;
    }
    return size;
}

// Answers how many bytes were not written.
static uint32_t do_write(Core *c)
{
    uint32_t block[3];
    if (!words(c, 3, block)) return FAILED;
    const File *file = file_at(c, block[0]);
    const uint8_t *bytes = memory_at(c->m, block[1], block[2]);
    if (!file || !bytes) return FAILED;
    if (!file->is_output)
        return may_write(c, file, block[2]) ? write_all(file->fd, bytes, block[2]) : block[2];
    if (!may_print(c, block[2])) return block[2];
    put_output(c->m, bytes, block[2]);
    return 0;
}

// Answers how many bytes were not read.
static uint32_t do_read(Core *c)
{
    uint32_t block[3];
    if (!words(c, 3, block)) return FAILED;
    const File *file = file_at(c, block[0]);
    uint8_t *bytes = memory_at(c->m, block[1], block[2]);
    if (!file || !bytes) return FAILED;
    if (file->is_output || !may_read(c, block[2])) return block[2];
    uint32_t left = block[2];
    while (left) {
        const ssize_t done = read(file->fd, bytes + (block[2] - left), left);
        if (done <= 0) break;
        left -= (uint32_t)done;
    }
    memory_written(c->m, block[1], block[2]);
    return left;
}

static uint32_t do_seek(Core *c)
{
    uint32_t block[2];
    if (!words(c, 2, block) || block[1] > c->m->chip.file_bytes) return FAILED;
    const File *file = file_at(c, block[0]);
    if (!file || file->is_output) return FAILED;
    return lseek(file->fd, (off_t)block[1], SEEK_SET) < 0 ? FAILED : 0;
}

static uint32_t do_length(Core *c)
{
    uint32_t handle;
    const File *file = word(c, 0, &handle) ? file_at(c, handle) : NULL;
    struct stat s;
    if (!file || file->is_output || fstat(file->fd, &s) || s.st_size > INT32_MAX) return FAILED;
    return (uint32_t)s.st_size;
}

static uint32_t do_is_terminal(Core *c)
{
    uint32_t handle;
    const File *file = word(c, 0, &handle) ? file_at(c, handle) : NULL;
    return file ? file->is_output : FAILED;
}

static uint32_t do_is_error(Core *c)
{
    uint32_t status;
    return !word(c, 0, &status) || (int32_t)status < 0;
}

// How many bytes of memory there are from an address on, up to a limit.
static uint32_t room_at(const Machine *m, uint32_t address, uint32_t limit)
{
    const Chip *chip = &m->chip;
    const uint32_t in_l1 = address - chip->l1_base, in_l2 = address - chip->l2_base;
    uint32_t room = 0;
    if (in_l1 < chip->l1_bytes) room = chip->l1_bytes - in_l1;
    else if (in_l2 < chip->l2_bytes) room = chip->l2_bytes - in_l2;
    return room < limit ? room : limit;
}

static uint32_t write_string(Core *c)
{
    const uint32_t room = room_at(c->m, c->r[A1], STRING_BYTES);
    const uint8_t *text = memory_at(c->m, c->r[A1], room);
    const uint8_t *end = room ? memchr(text, 0, room) : NULL;
    if (!may_print(c, end ? (uint32_t)(end - text) : room) || !end) return FAILED;
    put_output(c->m, text, (size_t)(end - text));
    return 0;
}

static uint32_t write_character(Core *c)
{
    const uint8_t *byte = memory_at(c->m, c->r[A1], 1);
    if (byte) put_output(c->m, byte, 1);
    return byte ? 0 : FAILED;
}

// The cycles of the run so far, as 64 bits.
static uint32_t do_elapsed(Core *c)
{
    uint8_t *to = memory_at(c->m, c->r[A1], 8);
    if (!to) return FAILED;
    memcpy(to, &c->t, 8);
    memory_written(c->m, c->r[A1], 8);
    return 0;
}

static uint32_t exit_code(Core *c, bool extended)
{
    uint32_t block[2] = {c->r[A1], 0};
    if (extended && !words(c, 2, block)) return 1;
    return block[0] == ENDED_WELL ? block[1] : 1;
}

static uint32_t answer(Core *c)
{
    switch (c->r[A0]) {
    case OPEN: return do_open(c);
    case CLOSE: return do_close(c);
    case WRITE_CHARACTER: return write_character(c);
    case WRITE_STRING: return write_string(c);
    case WRITE: return do_write(c);
    case READ: return do_read(c);
    case IS_ERROR: return do_is_error(c);
    case IS_TERMINAL: return do_is_terminal(c);
    case SEEK: return do_seek(c);
    case LENGTH: return do_length(c);
    case ELAPSED: return do_elapsed(c);
    case EXIT: leave(c->m, exit_code(c, false));
    case EXIT_EXTENDED: leave(c->m, exit_code(c, true));
    default: return FAILED; // READ_CHARACTER, clocks, everything unknown
    }
}

const Insn *semihosting(Core *c, const Insn *next)
{
    c->r[A0] = answer(c);
    return next;
}

void machine_set_folder(Machine *m, int fd) { m->devices->files.folder = fd; }

void files_close(Machine *m)
{
    for (int n = 0; n < FILES; n++) {
        const File *file = &m->devices->files.file[n];
        if (file->open && !file->is_output) close(file->fd);
    }
    memset(m->devices->files.file, 0, sizeof m->devices->files.file);
}
