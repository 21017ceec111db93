// SPDX-License-Identifier: Apache-2.0
// What the lines of a .def file are when rows of a table are made of them.
#undef OP
#undef ALU
#undef MAC
#undef BRANCH
#undef LOAD
#undef STORE
#define ROW(name, match, format, late) {#name, match, FORMAT_##format, late, op_##name},
#define OP(name, match, format) ROW(name, match, format, PROMPT)
#define ALU(name, match, format, value) ROW(name, match, format, PROMPT)
#define MAC(name, match, format, macs, value) ROW(name, match, format, PROMPT)
#define BRANCH(name, match, format, condition) ROW(name, match, format, PROMPT)
#define LOAD(name, match, format, type) ROW(name, match, format, LATE_LOAD)
#define STORE(name, match, format, type) ROW(name, match, format, PROMPT)
#define TABLE(name) const Table table_##name = {rows, sizeof rows / sizeof *rows}
