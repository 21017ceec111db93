# SPDX-License-Identifier: Apache-2.0
"""The accelerator's jobs in C: constant data that the DMA brings to L1, one record for each kind
of tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from myoedge.codegen.kernel_calls import Structs
from myoedge.codegen.render import assignment, designated
from myoedge.codegen.tile_transfers import Tables
from myoedge.operators.kernel import Fields
from myoedge.operators.library.ne16_table import Shape, TileForm, TileJobs

# Words of the structs of me_ne16_jobs.h and me_ne16.h, in the order of a record.
WORDS = {"ranges": 7, "jobs": 5, "shapes": 18, "copies": 6}
MOST_WORDS = 100  # with copies: four ranges with jobs of three shapes take as many without
COPIES = "me_ne16_copy_pieces"
CTexts = Sequence[tuple[str, str]]  # (field, C)


@dataclasses.dataclass(frozen=True)
class KernelArguments:
    """C statements that prepare a kernel call.

    written    those that write its arguments
    fetched    those that fetch arguments that are constant data
    job_words  words of the longest table of jobs
    """

    written: list[str]
    fetched: list[str] = dataclasses.field(default_factory=list)
    job_words: int = 0


@dataclasses.dataclass(frozen=True)
class JobTables:
    """The different jobs of a layer's tiles.

    kinds      jobs of each kind of tile
    of_tile    kind of each tile
    """

    kinds: tuple[TileJobs, ...]
    of_tile: tuple[int, ...]

    @staticmethod
    def of(form: TileForm, rows: Sequence[Fields]) -> JobTables:
        """Return the tables of a layer.

        rows   fields of the tile struct, by tile
        """
        jobs = [form.of_tile(row) for row in rows]
        found = JobTables._of_kinds(jobs)
        if len(rows) == 1 and found.words <= MOST_WORDS:  # code that runs often is in the cache
            return found
        return JobTables._of_kinds([each.without_copies() for each in jobs])

    @staticmethod
    def _of_kinds(jobs: Sequence[TileJobs]) -> JobTables:
        kinds = [*dict.fromkeys(jobs)]
        return JobTables(tuple(kinds), tuple(kinds.index(each) for each in jobs))

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of ranges, with their end, jobs, shapes and copies of the largest kind."""
        return {
            "ranges": max(len(kind.ranges) + 1 for kind in self.kinds),
            "jobs": max(len(kind.jobs) for kind in self.kinds),
            "shapes": max(len(kind.shapes) for kind in self.kinds),
            "copies": max(len(kind.copies) for kind in self.kinds),
        }

    @property
    def words(self) -> int:
        return sum(WORDS[name] * count for name, count in self.sizes.items())

    @property
    def prepare(self) -> dict[str, str]:
        """The field of the op struct that has the lists copied, if there are any."""
        return {"prepare": COPIES} if self.sizes["copies"] else {}

    def arguments(
        self, fn: str, place: Structs, structs: dict[str, CTexts], tables: Tables
    ) -> KernelArguments:
        """Return the statements of a layer: of its structs, tile and op, those that differ between
        tiles are written, or those that are read from the model's data; the others are data."""
        structs["tile"] = [*structs["tile"], *self.fields(place, tables)]
        names = ["op", "tile"] if tables.scalars is not None else ["tile"] * (len(self.of_tile) > 1)
        written = [
            line
            for name in names
            for line in assignment(getattr(place, name), "", structs.pop(name), by_field=True)
        ]
        return KernelArguments(written, [self.data(fn, tables, structs, place)], self.words)

    def fields(self, place: Structs, tables: Tables) -> Iterator[tuple[str, str]]:
        """Yield the fields of the tile struct that lead to its jobs."""
        at = 0
        for name, count in self.sizes.items():
            if count:
                yield name, f"(void *)({place.table} + {at})" if at else f"(void *){place.table}"
            at += WORDS[name] * count
        counts = [len(self.kinds[kind].ranges) for kind in self.of_tile]
        yield "range_count", tables.number("range_count", counts)

    def data(self, fn: str, tables: Tables, structs: Mapping[str, CTexts], place: Structs) -> str:
        """Define the layer's records in `tables`; return the C statement that fetches the one of
        tile t.

        structs   texts of the struct members before the jobs, by member: tile and op, op, or none
        """
        name, ranges_jobs_shapes = f"{fn}_of_tile", ", ".join(map(str, self.sizes.values()))
        kind = "_".join(["ME_NE16_JOBS", *(f"WITH_{member.upper()}" for member in structs)])
        tables.lines.append(f"static const {kind}({ranges_jobs_shapes}) {name}[] = {{")
        for jobs in self.kinds:
            tables.lines += ["    {", *_record(jobs, structs), "    },"]
        tables.lines.append("};")
        to = {0: place.table, 1: f"&{place.op}", 2: f"&{place.tile}"}[len(structs)]
        at = tables.number("jobs", self.of_tile)
        size = f"sizeof {name}[0]"
        return f"me_fetch((int8_t *){to}, (const int8_t *)&{name}[{at}], {size}, {size}, 0);"


def _record(jobs: TileJobs, structs: Mapping[str, CTexts]) -> Iterator[str]:
    """Yield the lines of a record in C."""
    for member, fields in structs.items():
        lines = designated(fields, 16)
        yield f"        .{member} = {{"
        yield from (f"            {line}" for line in lines)
        yield "        },"
    shapes, copied = jobs.shapes, 0
    yield "        .ranges = {"
    for part in jobs.ranges:
        found = {"first": part.first, "prepared": part.prepared, "copy": copied}
        found |= {"job": jobs.first_job(part), "jobs": len(part.jobs), "x": part.x, "y": part.y}
        yield f"            {_braced(found)},"
        copied += len(part.copies)
    end = {"first": jobs.end.first, "prepared": jobs.end.prepared, "copy": copied}
    yield f"            {_braced(end)},"
    yield "        },"
    yield "        .jobs = {"
    for job in jobs.jobs:
        found = {"shape": shapes.index(job.shape), "weights": job.weights, "x": job.x, "y": job.y}
        found["k"] = job.k
        yield f"            {_braced(found)},"
    yield "        },"
    yield "        .shapes = {"
    for shape in shapes:
        yield f"            {{ /* {shape.text} */"
        yield from (f"                {line}" for line in designated(_registers(shape), 20))
        yield "            },"
    yield "        },"
    if not jobs.copies:
        return
    yield "        .copies = {"
    for copy in jobs.copies:
        found = {name.replace("from_at", "from"): n for name, n in dataclasses.asdict(copy).items()}
        yield f"            {_braced(found)},"
    yield "        },"


def _braced(numbers: Mapping[str, int]) -> str:
    texts = [f".{name} = {number}" for name, number in numbers.items() if number]
    return f"{{ {', '.join(texts) or '0'} }}"


def _registers(shape: Shape) -> list[tuple[str, str]]:
    return [
        ("x_pixel", str(shape.x_pixel)),
        ("x_row", str(shape.x_row)),
        ("y_group", str(shape.y_group)),
        ("y_pixel", str(shape.y_pixel)),
        ("y_row", str(shape.y_row)),
        ("weight_plane", str(shape.weight_plane)),
        ("weight_channel", str(shape.weight_channel)),
        ("last_channels", _halves(shape.last_channels)),
        ("last_outputs", _halves(shape.last_outputs)),
        ("last_inputs", _halves(shape.last_inputs)),
        ("tiles_channels", _halves(shape.tiles_channels)),
        ("tiles_pixels", _halves(shape.tiles_pixels)),
        ("weight_offset", str(shape.weight_offset)),
        ("config", f"{shape.config:#x}"),
    ]


def _halves(word: int) -> str:
    return f"{word >> 16} << 16 | {word & 0xFFFF}" if word else "0"


def slots(words: int) -> str:
    """Return the C of the records in L1: of the current tile, and of the next one; "" without jobs.

    words   of the longest table of jobs
    """
    if not words:
        return ""
    return (
        "static struct {\n    me_ne16_jobs_tile tile;\n    me_ne16_jobs_params op;\n"
        f"    int32_t table[{words}];\n}} me_jobs[2] ME_L1;"
    )
