# SPDX-License-Identifier: Apache-2.0
"""What the documents say is so: links, commands, code, generated pages."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

import myoedge
from myoedge.catalogue import schemas
from myoedge.cli import commands, group
from myoedge.errors import MyoedgeError
from myoedge.frontend.operator_table import CALLS, IMPORT, calls_of
from myoedge.frontend.refusals import suggest_replacement
from myoedge.frontend.torch.export import from_exported
from myoedge.operators.base import OPS
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.records import network_fits
from tests.support.pages import code_of, fenced, head, markdown
from tests.unit.test_uses import IMPORTED, WRITTEN_OUT
from tests.upstream import record

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS, *ROOT.glob("examples/**/*.md")])
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def indented(page: Path) -> str:
    """What is typed and shown: every line that is indented by four."""
    return "\n".join(line for line in text(page).splitlines() if line.startswith("    "))


# ---- every page


def test_the_pages_that_must_be_there() -> None:
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    docs = ("architecture", "integer-semantics", "adding-an-operator", "performance")
    assert {
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        *(f"docs/developers/{d}.md" for d in docs),
    } <= names


def _in_docs(page: Path) -> str:
    return os.path.relpath(page, ROOT / "docs")


@PAGE
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", text(page))
    mentioned = re.findall(r"(?<![\w/(\[])docs/[\w/-]+\.md", text(page))
    missing = [
        link
        for folder, names in ((page.parent, links), (ROOT, mentioned))
        for link in names
        if "://" not in link
        and not (folder / link).exists()
        and _in_docs(folder / link) not in MADE - NOTEBOOK_PAGES
    ]
    assert not missing


@PAGE
def test_links_lead_to_headings(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text(page)):
        target = page.parent / link if link else page
        if target.suffix == ".md" and target.exists():
            assert anchor in anchors(target), (link, anchor)


def anchors(page: Path) -> set[str]:
    """The names that GitHub and the site give to a page's headings, and those of its own."""
    prose = re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)
    titles = (title.lower() for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE))
    named = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}
    return named | {*re.findall(r'(?:id|name)="([^"]+)"', prose)}


# of files in examples/, to which pages link: the site's links lead here
NOTEBOOK_PAGES = {f"notebooks/{path.stem}.md" for path in (ROOT / "examples").glob("*.ipynb")}
MADE = {  # when the site is made, docs/hooks
    *("reference/codes.md", "reference/operators.md", "reference/python.md"),
    *NOTEBOOK_PAGES,
    *(f"reference/schemas/{n.removesuffix('.json').replace('.', '-')}.md" for n in schemas.names()),
}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    listed = re.findall(r"^ +- .*: ([\w/-]+\.md)$", text(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    pages = {str(page.relative_to(ROOT / "docs")) for page in DOCS}
    assert set(listed) == pages | MADE


@PAGE
def test_commands_are_verbs(page: Path) -> None:
    """`myoedge build ...`, in backquotes or at the start of an indented line."""
    typed = re.findall(r"(?:`|^    (?:\$ )?)myoedge ([a-z]+)\b(?!/)", text(page), re.MULTILINE)
    assert set(typed) <= {row.name for row in commands()}


def with_subcommands(command: Any) -> list[Any]:
    return [command, *getattr(command, "commands", {}).values()]


@PAGE
def test_options_exist(page: Path) -> None:
    known = {
        option
        for verb in commands()
        for command in with_subcommands(group.get_command(None, verb.name))  # type: ignore[arg-type]
        for parameter in command.params
        for option in parameter.opts
    } | {"--help", "--version"}
    typed = re.findall(r"(?:`|^    (?:\$ )?)myoedge ([^`\n]+)", text(page), re.MULTILINE)
    options = {o for line in typed for o in re.findall(r"(?<!\S)--[a-z][a-z-]*", line)}
    assert options <= known


@PAGE
def test_make_targets_exist(page: Path) -> None:
    makefile = text(ROOT / "Makefile")
    generated = text(ROOT / "firmware_templates" / "project" / "Makefile.j2")
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", text(page), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile + "\n" + generated, re.MULTILINE), target


@PAGE
def test_codes_named_are_explained(page: Path) -> None:
    for code in set(re.findall(r"\b[EW][0-9]{3}\b", text(page))):
        assert myoedge.explain(code)


@PAGE
def test_nothing_of_the_machine_it_was_written_on(page: Path) -> None:
    """Transcripts must not carry somebody's folders along."""
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users)/", text(page))


@PAGE
def test_python_is_python(page: Path) -> None:
    for language, path, code in fenced(page):
        if language == "python" and not path:
            ast.parse(code)


ARCHITECTURE = ROOT / "docs" / "developers" / "architecture.md"
PACKAGE = ROOT / "myoedge"
MOST_PACKAGES, MOST_MODULES = 24, 5  # nest/ is the newest
MOST_LINES, MOST_COLUMNS = 120, 110


def rooms() -> set[str]:
    return {p.parent.name for p in PACKAGE.glob("*/__init__.py")}


def loose_modules() -> set[str]:
    return {p.name for p in PACKAGE.glob("*.py")}


def test_few_rooms_and_loose_modules() -> None:
    assert len(rooms()) <= MOST_PACKAGES
    assert len(loose_modules()) <= MOST_MODULES


def test_no_room_has_the_name_of_a_verb() -> None:
    assert not rooms() & {*myoedge.__all__}


def test_the_architecture_is_one_page() -> None:
    lines = text(ARCHITECTURE).splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= MOST_COLUMNS


def test_the_table_of_rooms_is_the_folders() -> None:
    table = re.findall(r"^\| (\w+)/ \| .+ \|$", text(ARCHITECTURE), re.MULTILINE)
    assert sorted(table) == sorted(rooms())
    named = set(re.findall(r"\b(\w+\.py)\b", text(ARCHITECTURE)))
    assert loose_modules() - {"__init__.py", "__main__.py"} <= named


def test_paths_in_the_architecture_exist() -> None:
    for path in re.findall(r"\b\w+/[\w/]*\w\.py\b", text(ARCHITECTURE)):
        assert (PACKAGE / path).is_file(), path


def test_the_order_of_imports_is_the_one_that_is_checked() -> None:
    import tomllib

    contracts = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    wanted = " -> ".join(x.replace("myoedge.", "").replace(" | ", ", ") for x in layers)
    assert wanted in " ".join(text(ARCHITECTURE).split())


def test_every_room_has_a_place_in_the_order_of_imports() -> None:
    import tomllib

    contracts = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    placed = {name for layer in layers for name in re.findall(r"myoedge\.(\w+)", layer)}
    modules = {Path(name).stem for name in loose_modules() - {"__init__.py", "__main__.py"}}
    assert placed == rooms() | modules


TYPED_BY_EXTENSIONS = {"__init__.py", "backends/build.py"}  # for editors: myoedge.X, Build.adapt


def imported_extensions(path: Path) -> set[str]:
    """Extensions that a file imports, also in functions and for type checks."""
    names = set[str]()
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, path
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[2] for name in names if name.startswith("myoedge.extensions.")}


def test_the_core_imports_no_extension_and_no_extension_another() -> None:
    """Read from the files: a package that no contract names is covered too."""
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        own = {place.parts[1]} if place.parts[0] == "extensions" else set()
        assert imported_extensions(path) <= own or str(place) in TYPED_BY_EXTENSIONS, path


# ---- README


def test_the_commands_of_the_readme_are_verbs() -> None:
    _, _, table = text(ROOT / "README.md").partition("| task | commands |")
    rows, _, rest = table.partition("\n\n")
    named = re.findall(r"`(\w+)`", rows)
    assert len(named) == len({*named}) == 10
    assert {*named} <= {row.name for row in commands()}
    assert f"lists all {len(commands())}," in rest


def test_other_tools_have_a_month_and_a_version() -> None:
    page = text(ROOT / "docs" / "developers" / "other-tools.md")
    _, _, section = page.partition("| tool | seen |")
    seen = re.findall(r"^\| [^|-][^|]*\| ([^|]+) \|", section, re.MULTILINE)
    assert len(seen) == 8
    version = r"20\d\d-(0[1-9]|1[0-2]), .*(\b\d+\.\d+|\b[0-9a-f]{7})"
    assert [cell for cell in seen if not re.match(version, cell)] == []


def test_the_readme_is_short() -> None:
    assert len(text(ROOT / "README.md").splitlines()) <= 200


def test_the_networks_of_the_readme_are_as_recorded() -> None:
    _, _, table = text(ROOT / "README.md").partition(network_fits.HEAD[0])
    rows = network_fits.table(network_fits.recorded())
    assert [network_fits.HEAD[0], *table.partition("\n\n")[0].split("\n")[1:]] == rows


def first_lines(page: Path, heading: str) -> list[str]:
    """The indented lines of a section up to the first that is typed into a shell."""
    section = text(page).split(heading)[1].splitlines()
    indented = [line[4:] for line in section if line.startswith("    ")]
    return [*itertools.takewhile(lambda line: not line.startswith("$"), indented)]


def test_the_ten_lines_of_the_readme_are_those_of_the_guide() -> None:
    guide = first_lines(ROOT / "docs" / "train-and-deploy" / "networks.md", "# Your own network")
    assert first_lines(ROOT / "README.md", "## In ten lines") == guide


def test_the_python_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tests.support.networks.small import Small

    torch.manual_seed(0)  # of some weights the input takes 16 bits, and the guide gives it 8
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "train-and-deploy" / "networks.md"
    windows = np.random.default_rng(0).random((20, 1, 2, 12), np.float32)
    given = {"make_model": Small, "windows": windows, "unseen": windows + np.float32(0.1)}
    given["gestures"] = np.arange(20) % 3
    code = "\n".join(first_lines(page, "# Your own network"))
    exec(code.replace("torch.zeros(1, 8, 40)", "torch.zeros(1, 2, 12)"), given)
    blocks = [code for _, _, code in fenced(page, "## In Python")]
    exec("\n".join(blocks), given)
    assert (tmp_path / "build" / "model-gap9" / "manifest.json").is_file()
    assert given["b"].run(given["x"]).dtype == np.float32  # type: ignore[attr-defined]


@pytest.mark.parametrize("address", ["", "https://example.org/someone/myoedge"])
def test_links_of_the_package_page_follow_the_address(address: str) -> None:
    """example.org is reserved for examples (RFC 2606)."""
    from hatch_build import Addresses

    metadata: dict[str, Any] = {}
    Addresses(str(ROOT), {"address": address}).update(metadata)
    relative = re.findall(r"\]\((?!https?://|#)([^)]+)", metadata["readme"]["text"])
    assert bool(relative) is not bool(address)
    assert ("urls" in metadata) is bool(address)
    if address:
        assert f"]({address}/blob/main/docs/reference/glossary.md)" in metadata["readme"]["text"]
        assert f"]({address}/raw/main/docs/images/report.png)" in metadata["readme"]["text"]


# ---- docs/train-and-deploy/tutorial.md


def test_the_settings_without_external_ram_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For weights that L2 alone does not hold."""
    monkeypatch.chdir(tmp_path)
    page = text(ROOT / "docs/train-and-deploy/limits.md")
    lines = page.split("### Without external RAM\n\n")[1].split("\n\n")[0]
    Path("myoedge.toml").write_text(textwrap.dedent(lines))
    layers = (torch.nn.Linear(1300, width) for width in (1300, 4))
    save_exported(torch.nn.Sequential(*layers), (torch.zeros(1, 1300),), Path("model.pt2"))
    x = np.random.default_rng(0).standard_normal((8, 1300)).astype(np.float32)
    np.savez("calib.npz", x=x)
    build = ("build", "--no-simulate", "-o")
    ran = command(*build, "both", "--memory", "mram=auto", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert json.loads(Path("both/report.json").read_text())["memory"]["external"] == []
    assert command(*build, "no", cwd=tmp_path).code == 3


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of Python, and the build between them; a network that learnt nothing fails."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "train-and-deploy" / "tutorial.md"
    *training, use = [code for language, _, code in fenced(page) if language == "python"]
    given: dict[str, Any] = {}
    exec("\n".join(training).replace("examples/", f"{ROOT}/examples/"), given)
    assert "$ myoedge build --target gap9 model.pt2 --calib calib.npz" in text(page)
    built = myoedge.build("model.pt2", target="gap9", calib="calib.npz")
    exec(use, given)
    guesses = [int(built.run(x).argmax()) for x in given["test_x"][::10]]
    assert np.mean(guesses == given["test_y"][::10]) > 0.9


# ---- docs/developers/adding-an-operator.md


def test_the_page_of_operators_is_short_and_its_plugin_is_the_one_that_is_tested() -> None:
    """The other operator of the page is run in tests/ops and tests/e2e."""
    page = ROOT / "docs" / "developers" / "adding-an-operator.md"
    assert len(text(page).splitlines()) <= 100
    file = "tests/plugins/gains/myoedge_gains/__init__.py"
    assert text(ROOT / file).endswith(code_of(page, file))
    for own in (file, "myoedge/operators/lerp/__init__.py"):
        words, code = (
            [sys.executable, "-m", "ruff", "format", "--isolated", "-"],
            code_of(page, own),
        )
        made = subprocess.run(words, input=code, capture_output=True, text=True).stdout
        assert 0 < made.count("\n") <= 25, made


# ---- the page of operators, which is made with the site


def page_of_operators() -> str:
    """The page as `myoedge ops --md` prints it."""
    shown = CliRunner().invoke(group, ["ops", "--md"])
    assert shown.exit_code == 0
    return shown.stdout


# Or asked for, or on streams.
FOUND_BY_PASSES = {  # trees: by ONNX alone
    "magnitude", "rotary", "ctc_greedy", "biquads", "biquads_past", "gru_state", "running_norm",
    "running_power", "majority", "ctc_new", "selective_scan", "lstm_start", "gru_start",
    "lstm_next", "lstm_next_cell", "loop_state", "loop_read", "loop_next", "loop_write",
    "loop_last", "trees", "features", "scan_last",
    "selective_scan_last",
}  # fmt: skip


def test_the_table_of_networks_of_other_libraries_is_the_record() -> None:
    found = json.loads(record.RECORDED.read_text())
    assert markdown(head(*record.COLUMNS), record.cells(found)) in record.PAGE.read_text()


def test_every_operator_is_reached_by_a_call() -> None:
    assert set(CALLS) == {"", *OPS}
    assert all(calls_of(op) for op in {*OPS} - FOUND_BY_PASSES)


def test_a_call_has_one_row() -> None:
    for rows in CALLS.values():
        assert all(IMPORT[name] is row for name, row in rows.items())


X = torch.linspace(-1.0, 1.0, 2 * 4 * 6).reshape(2, 4, 6)
W = torch.linspace(-1.0, 1.0, 3 * 4 * 3).reshape(3, 4, 3)
USES = [
    *WRITTEN_OUT,
    ("conv", "conv1d", lambda x: F.conv1d(x, W)),
    ("linear", "linear", lambda x: F.linear(x, torch.ones(2, 6))),
    ("linear", "matmul", lambda x: x @ torch.ones(6, 2)),
    ("matmul", "matmul", lambda x: x @ x.transpose(1, 2)),
    ("matmul", "bmm", lambda x: torch.bmm(x, x.transpose(1, 2))),
    ("max_pool", "max_pool1d", lambda x: F.max_pool1d(x, 2)),
    ("max_pool", "amax", lambda x: x.amax(-1)),
    ("avg_pool", "adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 2)),
    ("mean", "mean", lambda x: x.mean(-1)),
    ("sum", "sum", lambda x: x.sum(-1)),
    ("add", "add", lambda x: x + x.flip(-1)),
    ("sub", "rsub", lambda x: torch.rsub(x, x.flip(-1))),
    ("mul", "div", lambda x: x / (x * x + 1.0)),
    ("where", "where", lambda x: torch.where(x > 0.0, x, x.flip(-1))),
    ("mul", "glu", lambda x: F.glu(x, -1)),
    ("prelu", "prelu", lambda x: F.prelu(x, torch.tensor([0.1, 0.2, 0.3, 0.4]))),
    ("layer_norm", "layer_norm", lambda x: F.layer_norm(x, (6,))),
    ("rms_norm", "rms_norm", lambda x: F.rms_norm(x, (6,))),
    ("linear", "upsample_linear1d", lambda x: F.interpolate(x, size=9, mode="linear")),
    (
        "spectrogram",
        "stft",
        lambda x: torch.stft(
            x.reshape(1, 48), 16, window=torch.ones(16), center=False, return_complex=True
        ).abs(),
    ),
    ("table", "gelu", F.gelu),
    ("table", "pow", lambda x: x**3),
    (
        "fake_quantize",
        "fake_quantize_per_tensor_affine",
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
    ),
    ("table", "maximum", lambda x: torch.maximum(x, torch.tensor(0.1))),
    ("atan2", "atan2", lambda x: torch.atan2(x, x.flip(-1))),
    ("linear", "fft_fft", lambda x: torch.fft.fft(x).real),
    ("softmax", "softmax", lambda x: x.softmax(-1)),
    ("log_softmax", "log_softmax", lambda x: x.log_softmax(-1)),
    ("argmax", "argmin", lambda x: x.argmin(-1)),
    ("integer_math", "add", lambda x: x.argmax(-1) + x.argmin(-1)),
    ("integer_math_constant", "floor_divide", lambda x: x.argmax(-1) // 2),
    ("integer_cumsum", "cumsum", lambda x: x.argmax(-1).cumsum(1)),
    ("reshape", "flatten", lambda x: x.flatten(1)),
    ("transpose", "movedim", lambda x: x.movedim(1, 2)),
    ("slice", "unbind", lambda x: x.unbind(1)[1]),
    ("slice", "index", lambda x: x[:, [2, 0]]),
    ("concat", "stack", lambda x: torch.stack([x, x.flip(-1)])),
    ("concat", "roll", lambda x: x.roll(1, -1)),
    ("expand", "repeat_interleave", lambda x: x.repeat_interleave(2, 1)),
    ("pad", "pad", lambda x: F.pad(x, (1, 2))),
]


class Calling(torch.nn.Module):
    """A network of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize(("op", "call", "function"), USES, ids=[f"{u[0]}-{u[1]}" for u in USES])
def test_a_call_becomes_the_operator_it_is_listed_under(
    op: str, call: str, function: Callable[..., Any]
) -> None:
    file = BytesIO()
    torch.export.save(torch.export.export(Calling(function).eval(), (X,)), file)
    program = torch.export.load(file)
    targets = (str(node.target) for node in program.graph.nodes)
    made = {target.split(".")[1] for target in targets if target.startswith("aten.")}
    assert call in made & set(calls_of(op))
    assert op in {node.op for node in from_exported(program).nodes}


def test_every_operator_has_a_use_here() -> None:
    assert {op for op, _, _ in USES} | {*IMPORTED} >= {*OPS} - FOUND_BY_PASSES


@pytest.mark.parametrize(
    ("part", "network", "shape"),
    [
        ("cdist", Calling(lambda x: torch.cdist(x, x)), (2, 4, 6)),
    ],
)
def test_what_is_not_there_is_refused_with_the_advice_of_the_page(
    part: str, network: torch.nn.Module, shape: tuple[int, ...]
) -> None:
    program = torch.export.export(network.eval(), (torch.zeros(shape),))
    with pytest.raises(MyoedgeError) as caught:
        from_exported(program)
    assert caught.value.code == "E111"
    assert suggest_replacement(part) in caught.value.notice.tries
    advice = suggest_replacement(part).removeprefix("use ")
    assert f"| `{part}` | {advice} |" in page_of_operators()


def test_links_to_notebooks_lead_to_pages_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mkdocs", "mkdocs.exceptions", "mkdocs.structure", "mkdocs.structure.files"):
        stub = types.ModuleType(name)
        stub.__dict__.update(dict.fromkeys(("PluginError", "File", "Files"), Exception))
        monkeypatch.setitem(sys.modules, name, stub)
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks" / "pages.py"))
    link = "[a](../../examples/adaptation.ipynb), [b](../examples/data)"
    page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="wearable/adapt.md"))
    shown = "    certainty: docs/developers/energy.md\n"  # of a terminal: no link
    assert hooks["on_page_markdown"](shown, page) == shown
    made = hooks["on_page_markdown"](link, page)
    assert made == "[a](../notebooks/adaptation.md), [b](../examples/data)"


def test_the_script_of_the_guide_to_adaptation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of the demo's network, of all five gestures: 7.5 s every 5 ms, and as long a test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = fenced(ROOT / "docs" / "wearable" / "adapt.md")
    (code,) = (content for _, rest, content in blocks if rest == "sessions.py")
    exec(compile(code, "sessions.py", "exec"), {})
    for name, count in (("day2", 1490), ("rest", 499)):
        with np.load(f"{name}.npz") as arrays:
            assert arrays["input"].shape == (count, 1, 8, 3)
            assert np.unique(arrays["label"]).tolist() == [*range(5)]
