/* SPDX-License-Identifier: Apache-2.0
 * A command ends in '%', its words are separated by blanks. Answers are lines; the last one is m-ready. A
 * command that cannot be executed is answered by e-[reason] and has no effect.
 */
#include "mlperf.h"

#include "mlperf_network.h"
#include "mlperf_values.h"

enum { COMMAND_BYTES = 128, LINE_BYTES = 128, MOST_DIGITS = 20 };
enum { PRINTED_BYTES = 16, BYTES_A_LINE = 8, WARMUPS = 10 };

static char command[COMMAND_BYTES + 1], *rest; /* rest: the text after the words that were taken */

/* A file transfer: number of expected bytes, and of received bytes. */
static uint8_t file[ME_FILE_BYTES];
static uint32_t expected, loaded;
static bool has_run;

/* ---- answers */

static void say(const char *text)
{
    static char line[LINE_BYTES];
    static uint32_t count;
    for (; *text; text++) {
        line[count++] = *text;
        if (*text == '\n' || count == sizeof line) {
            me_line_write(line, count);
            count = 0;
        }
    }
}

static void say_number(uint64_t number, uint32_t least_digits)
{
    char text[MOST_DIGITS + 1], *at = text + MOST_DIGITS;
    *at = '\0';
    for (uint32_t digits = 0; digits < least_digits || number > 0; digits++) {
        const uint64_t tenth = me_divided(number, 10);
        *--at = (char)('0' + (number - 10 * tenth));
        number = tenth;
    }
    say(at);
}

static void say_line(const char *before, uint64_t number, const char *after)
{
    say(before);
    say_number(number, 1);
    say(after);
}

static void say_thousandths(int64_t value)
{
    const uint64_t size = value < 0 ? 0u - (uint64_t)value : (uint64_t)value;
    const uint64_t whole = me_divided(size, 1000);
    say_line(value < 0 ? "-" : "", whole, ".");
    say_number(size - 1000 * whole, 3);
}

static void refuse(const char *why)
{
    say("e-[");
    say(why);
    say("]\r\n");
}

/* ---- words */

static bool is_blank(char c) { return c == ' ' || c == '\r' || c == '\n' || c == '\t'; }

static bool is_same(const char *a, const char *b)
{
    for (; *a && *a == *b; a++)
        b++;
    return *a == *b;
}

/* -> the next word of the command; an empty string if there is none */
static const char *next_word(void)
{
    while (is_blank(*rest))
        rest++;
    const char *word = rest;
    while (*rest && !is_blank(*rest))
        rest++;
    if (*rest)
        *rest++ = '\0';
    return word;
}

/* Reads the next word as a number up to 10**9; if there is none, the value is unchanged. -> false if the
 * word is not a number */
static bool next_number(uint32_t *value)
{
    const char *word = next_word();
    uint32_t number = 0;
    if (!*word)
        return true;
    for (; *word; word++) {
        if (*word < '0' || *word > '9' || number >= 100000000u)
            return false;
        number = 10 * number + (uint32_t)(*word - '0');
    }
    *value = number;
    return true;
}

/* -> the value of a hexadecimal digit, or negative */
static int32_t digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* ---- the bytes of a file */

static void expect_bytes(void)
{
    uint32_t bytes = 0;
    if (!next_number(&bytes) || bytes == 0) {
        refuse("db load needs a number of bytes");
    } else if (bytes > ME_FILE_BYTES) {
        say_line("e-[an input has ", ME_FILE_BYTES, " bytes]\r\n");
    } else {
        expected = bytes;
        loaded = 0;
        say_line("m-[Expecting ", bytes, " bytes]\r\n");
    }
}

static void take_bytes(const char *digits)
{
    uint32_t count = 0;
    for (; digits[count]; count++)
        if (digit_of(digits[count]) < 0) {
            refuse("db takes load, print or hexadecimal digits");
            return;
        }
    if (count % 2) {
        refuse("two hexadecimal digits are a byte: one is missing");
    } else if (count / 2 > expected - loaded) {
        refuse("more bytes than db load has announced");
    } else {
        for (uint32_t i = 0; i < count; i += 2)
            file[loaded++] = (uint8_t)(digit_of(digits[i]) << 4 | digit_of(digits[i + 1]));
        if (loaded == expected)
            say("m-load-done\r\n");
    }
}

static void print_bytes(void)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t bytes = PRINTED_BYTES, at = 0;
    if (!next_number(&bytes) || !next_number(&at) || at > loaded) {
        refuse("db print takes a number of bytes, and the first of them");
        return;
    }
    const uint32_t end = bytes < loaded - at ? at + bytes : loaded;
    for (uint32_t i = 0; at < end; i++, at++) {
        const char text[3] = { digits[file[at] >> 4], digits[file[at] & 15u], '\0' };
        say(i % BYTES_A_LINE ? "-" : "m-buffer-");
        say(text);
        if (i % BYTES_A_LINE == BYTES_A_LINE - 1 || at + 1 == end)
            say("\r\n");
    }
}

static void use_bytes(void)
{
    const char *word = next_word();
    if (is_same(word, "load"))
        expect_bytes();
    else if (is_same(word, "print"))
        print_bytes();
    else if (*word)
        take_bytes(word);
    else
        refuse("db needs load, print or hexadecimal digits");
}

/* ---- inferences */

static void say_time(uint64_t us) { say_line("m-lap-us-", us, "\r\n"); }

static void say_results(void)
{
    if (!has_run) {
        refuse("no inference has run");
        return;
    }
    for (uint32_t i = 0; i < ME_RESULTS; i++) {
        say(i ? "," : "m-results-[");
        say_thousandths(me_result(i, file));
    }
    say("]\r\n");
}

/* Reads the clock after each inference, because it may wrap around. */
static bool has_inferred(uint32_t times)
{
    for (has_run = true; times > 0 && has_run; times--) {
        has_run = me_infer();
        (void)me_line_us();
    }
    return has_run;
}

/* Reports both times at the end: sending a line may take longer than an inference. */
static void measure(uint32_t times, uint32_t warmups)
{
    say_line("m-warmup-start-", warmups, "\r\n");
    bool ran = has_inferred(warmups);
    say("m-warmup-done\r\n");
    say_line("m-infer-start-", times, "\r\n");
    const uint64_t start_us = me_line_us();
    ran = ran && has_inferred(times);
    const uint64_t end_us = me_line_us();
    if (!ran) {
        refuse("the network did not run");
        return;
    }
    say_time(start_us);
    say_time(end_us);
    say("m-infer-done\r\n");
    say_results();
}

static void infer(void)
{
    uint32_t times = 1, warmups = WARMUPS;
    if (!next_number(&times) || !next_number(&warmups) || times == 0) {
        refuse("infer takes a number of inferences above 0, and one of warm-ups");
    } else if (loaded != ME_FILE_BYTES) {
        say_line("e-[loaded are ", loaded, " bytes");
        say_line(" of the ", ME_FILE_BYTES, " of an input]\r\n");
    } else {
        me_take_values(file);
        measure(times, warmups);
    }
}

/* ---- commands */

static void say_help(void);
static void say_name(void) { say("m-name-dut-[" ME_DEVICE "]\r\n"); }
static void say_profile(void) { say("m-profile-[" ME_PROGRAM "]\r\nm-model-[" ME_MODEL "]\r\n"); }
static void say_now(void) { say_time(me_line_us()); }

static const struct {
    const char *name;
    void (*answer)(void);
    const char *usage;
} commands[] = {
    { "help", say_help, "help                  these lines" },
    { "name", say_name, "name                  who answers" },
    { "profile", say_profile, "profile               program, and task of the benchmark" },
    { "timestamp", say_now, "timestamp             microseconds" },
    { "db", use_bytes,
      "db load N             N bytes of an input will come\r\n"
      "db HH..               some of them, two hexadecimal digits each\r\n"
      "db print [N [FIRST]]  16 of them, or N, from the first or FIRST on" },
    { "infer", infer, "infer [N [W]]         one inference or N, after 10 or W that are not measured" },
    { "results", say_results, "results               of the last inference" },
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void say_help(void)
{
    for (uint32_t i = 0; i < COMMANDS; i++) {
        say(commands[i].usage);
        say("\r\n");
    }
}

static void answer(void)
{
    rest = command;
    const char *word = next_word();
    uint32_t i = 0;
    while (i < COMMANDS && !is_same(word, commands[i].name))
        i++;
    if (i < COMMANDS)
        commands[i].answer();
    else if (*word)
        refuse("there is no such command; help lists all");
    say("m-ready\r\n");
}

/* ---- the line */

/* -> false if the line has closed */
static bool has_command(void)
{
    uint32_t count = 0;
    int32_t c;
    while ((c = me_line_character()) >= 0 && c != '%')
        if (count++ < COMMAND_BYTES)
            command[count - 1] = c ? (char)c : ' ';
    command[count < COMMAND_BYTES ? count : COMMAND_BYTES] = '\0';
    if (c >= 0 && count > COMMAND_BYTES) {
        say_line("e-[a command has at most ", COMMAND_BYTES, " characters]\r\n");
        command[0] = '\0';
    }
    return c >= 0;
}

void me_mlperf_serve(void)
{
    expected = loaded = 0;
    has_run = false;
    say("m-timestamp-mode-performance\r\n");
    say_now();
    say("m-init-done\r\nm-ready\r\n");
    while (has_command())
        answer();
}
