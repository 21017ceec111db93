# SPDX-License-Identifier: Apache-2.0
"""Call graph and stack frames: planted programs, and the compiler's own -fstack-usage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import myoedge
from myoedge.codegen.firmware import link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.extensions.evidence.call_graph import CallGraph, call_graph
from myoedge.system import toolchain, tools

ROOTS = ("_start", "me_fabric_controller", "me_cluster_core")
PROGRAM = """\
#include <stdint.h>
int main(void);
typedef int (*step)(int);
volatile int32_t limit = 3;
__attribute__((noinline)) static int leaf(int x)
{
    volatile char page[%(bytes)d];
    page[x] = 1;
    return page[x];
}
__attribute__((noinline)) static int twice(int x) { return leaf(x) + leaf(x + 1); }
__attribute__((noinline)) static int other(int x) { return x ^ limit; }
%(more)s
static const step steps[] = { twice, other };
__attribute__((noinline)) static int walk(int x)
{
    int y = 0;
    for (int i = 0; i < 2; i++)
        y += steps[(i + limit) & 1](x);
    return y;
}
int main(void) { return walk(limit) %(call)s; }
"""
RECURSION = """\
static int down(int x);
__attribute__((noinline)) static int up(int x) { return x > limit ? x : down(x + 1) + limit; }
__attribute__((noinline)) static int down(int x) { return x < -limit ? x : up(x - 1) * limit; }
"""


def graph_of(*, size: int = 64, more: str = "", call: str = "") -> CallGraph:
    includes = sorted((template_dir() / "include").iterdir())
    text = PROGRAM % {"bytes": size, "more": more, "call": call}
    files = {path.name: path.read_text() for path in includes}
    return call_graph(link({**files, **runtime(), "network.c": text}).program, ROOTS)


def test_calls_direct_and_through_a_table() -> None:
    graph = graph_of()
    assert graph.functions["twice"].calls == {"leaf"}
    assert graph.functions["walk"].holds == {"twice", "other"}
    assert graph.functions["walk"].is_indirect
    assert not graph.recursion
    assert not graph.unreached


@pytest.mark.parametrize("size", [64, 1000, 3000, 20_000])
def test_a_frame_holds_its_array(size: int) -> None:
    """Beyond 2 KiB the stack pointer moves by a register."""
    leaf = graph_of(size=size).functions["leaf"]
    assert leaf.is_frame_known
    assert size <= leaf.frame_bytes < size + 64


def test_the_bound_adds_the_deepest_chain() -> None:
    graph = graph_of(size=3000)
    frames = {name: f.frame_bytes for name, f in graph.functions.items()}
    chain = frames["main"] + frames["walk"] + frames["twice"] + frames["leaf"]
    assert graph.stack_bytes("main") == chain


def test_recursion_is_found() -> None:
    graph = graph_of(more=RECURSION, call="+ up(limit)")
    assert set(graph.recursion) == {"up", "down"}
    with pytest.raises(ValueError, match="recursion"):
        graph.stack_bytes("main")


def test_a_variable_frame_is_unknown() -> None:
    more = """__attribute__((noinline)) static int grown(int n) {
        volatile char page[n]; page[0] = 1; return page[0]; }"""
    graph = graph_of(more=more, call="+ grown(limit)")
    assert not graph.functions["grown"].is_frame_known


def test_frames_are_those_of_the_compiler(small_build: Path, tmp_path: Path) -> None:
    """Every function of a build's program that clang reports with -fstack-usage."""
    build = myoedge.load_build(small_build)
    graph = call_graph(build.program, ROOTS)
    stated = dict(stated_frames(build.folder / "src", tmp_path))
    common = stated.keys() & graph.functions.keys()
    assert len(common) > 20
    found = {name: graph.functions[name].frame_bytes for name in common}
    assert found == {name: stated[name] for name in common}
    assert graph.stack_bytes("me_cluster_core") <= build.program.symbols["me_stack_bytes"]


def stated_frames(source: Path, folder: Path) -> list[tuple[str, int]]:
    cc = toolchain.compiler("zig")
    flags = toolchain.firmware_flags(cc, ("ME_GAP9",))
    rows = []
    for file in sorted(source.rglob("*.c")):
        if file.name == "selftest.c":
            continue
        made = folder / f"{file.stem}.su"
        includes = [f"-I{source}", f"-I{source / 'firmware'}", f"-I{source / 'library'}"]
        asked = ["-Xclang", "-stack-usage-file", "-Xclang", str(made)]
        tools.run(
            [*cc.command, *flags, *asked, *includes, "-c", str(file), "-o", f"{made}.o"],
            cwd=folder,
            env={"ZIG_LOCAL_CACHE_DIR": str(folder / "zig")},
        )
        text = made.read_text() if made.exists() else ""  # a file without functions
        rows += re.findall(r":(\w+)\t(\d+)\tstatic", text)
    return [(name, int(size)) for name, size in rows]
