# SPDX-License-Identifier: Apache-2.0
"""Plug-ins: loaded only where they are named, recorded, and refused with a cause."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import myoedge
import myoedge.operators as families
from myoedge.api import models
from myoedge.building import plugins
from myoedge.building.config_tables import PluginsTable
from myoedge.building.plugin_returns import checked_rows
from myoedge.building.plugins import FRONT_ENDS, Plugin, load_plugins
from myoedge.errors import MyoedgeError
from myoedge.operators import api
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.quantization.recordings import files
from myoedge.quantization.recordings.reading import Reading
from myoedge.targets import boards, find_chip
from tests.conftest import ROOT
from tests.conftest import myoedge as command
from tests.ops.harness import drawn
from tests.support.schemas import check

EXAMPLES = ROOT / "tests" / "plugins"
Install = Callable[..., None]


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(files, "ADDED", {})
    monkeypatch.setattr(boards, "ADDED", {})
    monkeypatch.setattr(families, "ADDED", [])


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package as pip leaves it: a folder, and metadata beside it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def of(name: str, version: str, kind: str, point: str, source: Path | str) -> None:
        package = point.partition("=")[2].strip().partition(":")[0]
        if isinstance(source, Path):
            shutil.copytree(source / package, site / package)
        else:
            (site / package).mkdir()
            (site / package / "__init__.py").write_text(source)
        about = site / f"{package}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (about / "entry_points.txt").write_text(f"[myoedge.{kind}]\n{point}\n")
        monkeypatch.delitem(sys.modules, package, raising=False)

    return of


def refused(code: str, word: str, **named: list[str]) -> None:
    with pytest.raises(MyoedgeError, match=word) as caught:
        load_plugins(PluginsTable(**named))
    assert caught.value.code == code


def test_a_reader_reads_files_of_its_ending(
    install: Install, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("myoedge-raw", "2.1.0", "calibration", "raw = myoedge_raw:read", EXAMPLES / "reader")
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).integers(-20, 20, (360, 2)).astype("<i2")
    (tmp_path / "r.raw").write_bytes(np.int16(2).tobytes() + rows.tobytes())
    with pytest.raises(MyoedgeError) as caught:
        myoedge.quantize(small / "model.pt2", calib="r.raw")
    assert caught.value.code == "E211", "installed, but not named"
    assert "myoedge_raw" not in sys.modules
    (tmp_path / "myoedge.toml").write_text('[plugins]\ncalibration = ["raw"]\n')
    build = myoedge.build(small / "model.pt2", calib="r.raw", output="out")
    windows = rows.reshape(30, 12, 2).transpose(0, 2, 1)[:, None] * np.float32(0.5)
    given = myoedge.build(small / "model.pt2", calib=windows, output="given")
    assert build.network.digest == given.network.digest
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["plugins"] == [
        {"kind": "calibration", "name": "raw", "package": "myoedge-raw", "version": "2.1.0"}
    ]
    (tmp_path / "cut.raw").write_bytes(np.int16(2).tobytes() + rows.tobytes()[:-2])
    with pytest.raises(MyoedgeError, match=r"cut off in a row \(__init__.py:\d+\)") as caught:
        myoedge.quantize(small / "model.pt2", calib="cut.raw")
    assert caught.value.code == "E257"


def test_a_board_is_known_where_it_is_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "wristband = myoedge_wristband"
    install("myoedge-wristband", "1.0.0", "boards", package, EXAMPLES / "board")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MyoedgeError) as caught:
        myoedge.boards("wristband")
    assert caught.value.code == "E253"
    (tmp_path / "myoedge.toml").write_text('[plugins]\nboards = ["wristband"]\n')
    (found,) = myoedge.boards("wristband")
    assert (found.id, found.name) == ("wristband", "A wristband")
    assert "wristband" in [board.id for board in myoedge.boards()]
    with pytest.raises(MyoedgeError, match=r"has .*gap9_evk, wristband"):
        myoedge.boards("wristbands")


def test_a_board_of_another_name_than_its_entry_point_is_refused(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be found by one name and listed by the other."""
    install("myoedge-arm", "1.0.0", "boards", "arm = myoedge_wristband", EXAMPLES / "board")
    monkeypatch.chdir(tmp_path)
    refused("E257", 'has id = "wristband", its entry point is arm', boards=["arm"])
    assert "wristband" not in [board.id for board in myoedge.boards()]


def test_a_kernel_without_a_cost_is_told() -> None:
    """As a plug-in's is that does not bring one."""
    (case,), chip = drawn("transpose", 1), find_chip("gap9")
    assert candidates(case.step, chip)
    cores = chip.engines[0]
    other = replace(cores, kernels={"me_other": cores.kernels["me_add_s8"]})
    with pytest.raises(MyoedgeError, match=r"E257.*me_(transpose|copy)_s\d+ cannot be used"):
        candidates(case.step, replace(chip, engines=(other,)))


def test_plugins_that_are_refused(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused("E256", "no plug-in nothing for boards", boards=["nothing"])
    install("p", "1", "operators", "p = broken_plugin", "raise RuntimeError('not today')")
    refused("E257", "RuntimeError: not today", operators=["p"])
    install("q", "1", "calibration", "q = plain_plugin", "")
    refused("E257", "no function", calibration=["q"])
    refused("E256", r'try +\[plugins\]\n +calibration = \["q"\]', calibration=["q1"])
    install("r", "1", "boards", "r = bare_plugin", "")
    refused("E257", "no package with board.toml", boards=["r"])
    install("s", "1", "calibration", "q = another_plugin:f", "def f(path): ...")
    refused("E257", "several packages have it: q, s", calibration=["q"])
    install("lower", "1", "calibration", "v = lower_plugin:f", "def f(path): ...")
    install("upper", "1", "calibration", "V = upper_plugin:f", "def f(path): ...")
    refused("E257", "there is a reader of .v already", calibration=["v", "V"])
    install("t", "1", "operators", "t = empty_plugin", "")
    importlib.import_module(FRONT_ENDS)
    refused("E257", "networks were loaded before it", operators=["t"])
    monkeypatch.delitem(sys.modules, FRONT_ENDS)
    install("u", "1", "operators", "u = single_plugin:f", "def f(): ...")
    refused("E257", "its entry point is no module", operators=["u"])
    refused("E257", "defines no operators", operators=["t"])
    assert load_plugins(PluginsTable()) == ()


@pytest.mark.parametrize("raised", ["BaseException('b')", "SystemExit(3)", "GeneratorExit('b')"])
def test_whatever_a_plugin_raises_names_it(install: Install, tmp_path: Path, raised: str) -> None:
    install("a", "1", "calibration", "a = raising_plugin:f", f"raise {raised}")
    refused("E257", rf"plug-in a .*\n.*{raised[:8]}\w+: .*\(__init__.py:1\)", calibration=["a"])
    text = f"def f(path): raise {raised}"
    install("b", "1", "calibration", "b = reader_plugin:f", text)
    load_plugins(PluginsTable(calibration=["b"]))
    with pytest.raises(MyoedgeError, match=rf"plug-in b .*\n.*{raised[:8]}") as caught:
        files.ADDED[".b"](tmp_path / "x.b", Reading())
    assert caught.value.code == "E257"


@pytest.mark.parametrize(
    ("kind", "name", "taken"),
    [
        ("boards", "gap9_evk", "there is a board gap9_evk already"),
        ("calibration", "csv", "there is a reader of .csv already"),
        ("calibration", "NPZ", "there is a reader of .npz already"),
        ("operators", "extra", "there is an operator add already"),
    ],
)
def test_a_name_that_there_is_already_is_refused(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str,
    taken: str,
) -> None:  # fmt: skip
    """Nothing of the package is in use then, and the built-in one is."""
    monkeypatch.delitem(sys.modules, FRONT_ENDS, raising=False)
    install("new-things", "2.0", kind, f"{name} = taken_plugin", "def read(path): ...")
    (tmp_path / "site" / "taken_plugin" / "definition.py").write_text(TWO_OPERATORS)
    (tmp_path / "site" / "taken_plugin" / boards.FILE).write_text("")
    before = dict(OPS)
    with pytest.raises(MyoedgeError) as caught:
        load_plugins(PluginsTable(**{kind: [name]}))
    assert caught.value.code == "E257"
    facts = dict(caught.value.notice.facts)
    assert facts["package"] == "new-things 2.0"
    assert taken in facts["cause"]
    assert "needs another name" in facts["cause"]
    assert before == OPS
    assert [*families.ADDED, *files.ADDED, *boards.ADDED] == []
    assert myoedge.boards("gap9_evk")[0].chip == "gap9"


TWO_OPERATORS = """
from dataclasses import replace
from myoedge.operators.base import OPS, register
register(replace(OPS["add"], name="another_add"))
register(replace(OPS["add"], name="add"))
"""


def test_a_plugin_registers_all_its_operators_or_none(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second module fails; mended, it is imported from the beginning."""
    monkeypatch.delitem(sys.modules, FRONT_ENDS, raising=False)
    install("p", "1", "operators", "p = halves_plugin", "")
    first, second = TWO_OPERATORS.replace('"add")', '"first_add")').rsplit("\n", 2)[0], "1 / 0"
    folder = tmp_path / "site" / "halves_plugin"
    (folder / "definition.py").write_text(first)
    (folder / "more.py").write_text(second)
    before = dict(OPS)
    refused("E257", r"ZeroDivisionError: .*\(more.py:1\)", operators=["p"])
    assert before == OPS
    (folder / "more.py").write_text(first)
    refused("E257", r"an operator another_add already.*\(more.py:4\)", operators=["p"])
    assert before == OPS
    (folder / "more.py").write_text("ONE = 1")
    try:
        load_plugins(PluginsTable(operators=["p"]))
        assert {*OPS} - {*before} == {"another_add"}
    finally:
        OPS.pop("another_add", None)


@pytest.mark.parametrize("raised", ["BaseException('b')", "SystemExit(0)", "ValueError('b')"])
def test_an_operator_s_function_that_raises_is_the_plugin_s_error(
    install: Install, monkeypatch: pytest.MonkeyPatch, raised: str
) -> None:
    """Wherever it is called, as operators are all over a build; here below a verb."""
    text = f"NAME = 'a board'\ndef real(*x): raise {raised}\n"
    text += "def stopped(*x): raise KeyboardInterrupt"
    install("c", "1", "boards", "c = operator_plugin", text)
    package = importlib.import_module("operator_plugin")
    (Path(str(package.__file__)).parent / boards.FILE).write_text("")
    load_plugins(PluginsTable(boards=["c"]))
    monkeypatch.setattr(models, "Operator", package.real)
    with pytest.raises(MyoedgeError, match=rf"E257.*\n.*{raised[:9]}.*__init__.py:2") as caught:
        myoedge.ops()
    assert type(caught.value.__cause__).__name__ == raised.partition("(")[0]
    ran = command("ops", cwd=Path())
    assert ran.code == 2
    assert f"error[E257] the plug-in c cannot be used\n  cause    {raised[:9]}" in ran.err
    assert "(__init__.py:2)" in ran.err
    monkeypatch.setattr(models, "Operator", lambda *row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        myoedge.ops()
    assert command("ops", cwd=Path()).code == 70, "an error of myoedge stays one"
    monkeypatch.setattr(models, "Operator", package.stopped)
    with pytest.raises(KeyboardInterrupt):
        myoedge.ops()


def test_a_plugin_is_loaded_once(install: Install) -> None:
    text = "import os\nn = int(os.environ.get('N', 0))\nos.environ['N'] = str(n + 1)\ndef f(p): ..."
    install("once", "4.5", "calibration", "once = once_plugin:f", text)
    try:
        for _ in range(2):
            found = load_plugins(PluginsTable(calibration=["once"]))
            assert found == (Plugin("calibration", "once", "once", "4.5"),)
        assert os.environ["N"] == "1"
    finally:
        os.environ.pop("N", None)


def test_what_opens_a_model_loads_what_is_named(
    install: Install, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("myoedge-raw", "2.1.0", "calibration", "raw = myoedge_raw:read", EXAMPLES / "reader")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "myoedge.toml").write_text('[plugins]\ncalibration = ["raw"]\n')
    for verb in (myoedge.load, myoedge.inspect, lambda model: myoedge.init("new", model=model)):
        monkeypatch.setattr(plugins, "_LOADED", {})
        monkeypatch.setattr(files, "ADDED", {})
        verb(small / "model.pt2")
        assert ("calibration", "raw") in plugins._LOADED


def test_a_manifest_alone_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"kind": "operators", "name": "x", "package": "x", "version": "1"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"plugins": rows}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MyoedgeError, match=r'operators = \["x"\]') as caught:
        myoedge.load_build(tmp_path)
    assert caught.value.code == "E256"


# --- an operator of torch.library, with a constant operand -----------------------------------

GAIN = """
import numpy as np, torch, myoedge
from pathlib import Path
import myoedge_gains.torch_library
from tests.conftest import save_exported

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 24)
        self.register_buffer("factors", torch.linspace(-2, 2, 24))
    def forward(self, x):
        return torch.ops.lab.gain(self.layer(x), self.factors).relu()

torch.manual_seed(0)
save_exported(Network().eval(), (torch.zeros(1, 60, 2),), Path("m.pt2"))
"""
BUILT = """
import numpy as np, myoedge
calib = np.random.default_rng(0).standard_normal((16, 1, 60, 2)).astype(np.float32)
build = myoedge.build("m.pt2", calib=calib, output="out")
operators = [op for row in build.report["layers"] for op in row["members"] or [row["op"]]]
assert operators == ["linear", "gains"]
print(sorted(build.network.int16))
found = myoedge.validate("out", on=("host", "simulator"))
assert found.exact["host"] and found.exact["simulator"]
"""
WRONG = {  # what is replaced in the package, by what, exit code, what is said
    "its formula": ("x * self.gain", "x * self.gain + (1 << 28)", 4, "integer gives"),
    "its unit": ("Scaled(unit, ", "Scaled(2 * unit, ", 4, "integer gives"),
    "no formula": ("def nest(", "def nests(", 2, "a function is missing"),
    "arguments of its formula": ("nest(self, x)", "nest(self, x, y)", 2, "; needs "),
    "no array": ("return x * factors", "return list(x)", 2, "real returned a list"),
    "no limit": ("return x * self.gain", "return x * self.lookup('gain', x)", 4,
                 'has self.lookup("gain", x) of any value; try '),
    "an argument": ("(x, factors)", "(x, factor)", 2,
                    "needs one of x, factors; has factor"),
    "a call": ('"lab::gain(', '"lab::gains(', 2, "lab.gains.default: torch has no such call"),
    "a call of others": ('"lab::gain(', '"lab::gain relu(', 2,
                         "aten.relu.default, and so has a row of table"),
    "ONNX's operator of others": ('factors)")', 'factors)", "LeakyRelu(x)")', 2,
                                  "LeakyRelu, and so has a row of table"),
    "an attribute without a row": ("return x * factors", "return x * factors + 0 * self.attrs['k']",
                                   2, "KeyError: 'k'"),
    "an operator of a row": ('import_row("gains"', 'import_row("add"', 2, "no use of add in CASES"),
    "a row that refuses": ('import_row("gains", "lab::gain(x, factors)")',
                           'ImportRow("gains", refuse, "lab::gain")', 2, "refused: never"),
    "an attribute": ('api.uses("gains")', 'api.uses("gains", factor=3)', 2,
                     "factor of gains is 3, not several values"),
    "another operator": ('api.uses("gains")', 'api.uses("gain")', 2,
                         'no uses of gains: CASES = api.uses("gains")'),
    "cases that are no table": ('api.uses("gains")', "None", 2,
                                "has    None"),
    "a case that is no function": ('api.uses("gains")', '{"gains": 3}', 2, "has    {'gains': 3}"),
    "a case without a use": ('api.uses("gains")', '{"gains": lambda draw: draw.shape}', 2,
                             "has    a method"),
    "no cases": ('api.uses("gains")', "{}", 2, 'no uses of gains: CASES = api.uses("gains")'),
    "no row of an operator": ("ROWS = (", "ROWS_ = (", 2, "import row   gains: nothing"),
    "a bracket": ('factors)")', 'factors")', 2, 'try "lab::gain(x, factors)"'),
    "a name of others": ('doc="one', 'name="add", doc="one', 2,
                         'add, which is one; try name="own_add"'),
    "an attribute without values": ("return x * factors", "return x * factors * self.attrs['more']",
                                    2, 'uses("gains", more=(0.5, 1.0))'),
    "no rows": ("ROWS = (", "ROWS = (1, ", 2, "ROWS of its import_rows is"),
}  # fmt: skip
Run = Callable[..., subprocess.CompletedProcess[str]]


def python(place: Path, site: Path) -> Run:
    """Runs Python in a folder, beside packages in another; what is imported stays in a process."""
    path = os.pathsep.join((str(ROOT), str(site)))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            cwd=place, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        )  # fmt: skip

    return run


@pytest.fixture
def gains(install: Install, tmp_path: Path) -> Run:
    install("myoedge-gains", "0.1.0", "operators", "gains = myoedge_gains", EXAMPLES / "gains")
    return python(tmp_path, tmp_path / "site")


@pytest.mark.slow
def test_an_operator_of_torch_library_builds_where_a_plugin_has_it(
    gains: Run, tmp_path: Path
) -> None:
    made = gains("-c", GAIN)
    assert made.returncode == 0, made.stderr
    refused = gains("-c", BUILT).stderr
    assert "error[E111] " in refused
    assert "uses an operator that is not supported: lab.gain" in refused
    assert "a plug-in that registers lab::gain" in refused
    assert "[plugins] operators" in refused
    (tmp_path / "myoedge.toml").write_text('[plugins]\noperators = ["gains"]\n')
    for wide, rule in (("[]", ""), ("['linear']", "[quant]\nlayer = { activations = 16 }\n")):
        with (tmp_path / "myoedge.toml").open("a") as file:
            file.write(rule)
        built = gains("-c", BUILT)
        assert built.returncode == 0, built.stderr
        assert built.stdout == f"{wide}\n"
    rows = tmp_path / "site" / "myoedge_gains" / "__init__.py"
    rows.write_text(
        rows.read_text().replace(
            'import_row("gains", "lab::gain(x, factors)")',
            "ImportRow('gains', lambda *a: 'gains', 'lab::gain')",
        )
    )
    wrong = gains("-m", "myoedge", "quantize", "m.pt2", "--calib", "random").stderr
    assert "error[E257] the plug-in gains cannot be used" in wrong, wrong
    assert "the row of lab::gain returned" in wrong
    assert "not the name of a tensor [1, 60, 24]" in wrong


def test_a_package_is_checked(gains: Run) -> None:
    done = gains("-m", "myoedge", "plugin", "check", "myoedge-gains", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    check(found)
    assert [row["state"] for row in found["operators"]] == ["ok"]
    assert [(row["call"], row["uses"]) for row in found["import_rows"]] == [
        ("lab.gain.default", 24)
    ]
    assert gains("-m", "myoedge", "plugin", "check", "numpy").returncode == 2


@pytest.mark.parametrize(
    ("package", "kind", "point", "listed"),
    [
        ("gains", "operators", "gains = myoedge_gains", "gains"),
        ("board", "boards", "wristband = myoedge_wristband", "A wristband"),
        ("reader", "calibration", "raw = myoedge_raw:read", "wrote myoedge.toml"),
    ],
)
def test_the_steps_after_a_check_can_be_followed(
    install: Install, tmp_path: Path, package: str, kind: str, point: str, listed: str
) -> None:
    """What the line `# first` says is written, then the last line is run."""
    name = point.partition(" = ")[2].partition(":")[0]
    install(name, "1", kind, point, EXAMPLES / package)
    run, place = python(tmp_path, tmp_path / "site"), tmp_path / "myoedge.toml"
    done = run("-m", "myoedge", "plugin", "check", name)
    assert done.returncode == 0, done.stderr
    told = done.stderr.partition("next:")[2].strip().splitlines()
    first, step = (line.strip() for line in told)
    assert first.startswith("# first, in myoedge.toml: [plugins] "), first
    words = step.split()
    assert words[0] == "myoedge"
    if kind == "operators":
        assert not re.search(rf"^ *{listed} ", run("-m", *words).stdout, re.MULTILINE)
    if kind != "calibration":  # whose step writes a myoedge.toml
        place.write_text(first.partition(": ")[2].replace("] ", "]\n", 1))
        again = run("-m", "myoedge", "plugin", "check", name).stderr
        assert "# first" not in again
    done = run("-m", *words)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{listed}", done.stdout), done.stdout


REFUSE = "def refuse(*x): raise api.Unsupported('never')\n\n\n"
QUICK = ("its formula", "arguments of its formula")  # test_a_package_is_checked: a whole check


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in WRONG]
)
def test_a_package_that_is_wrong_is_told_so(name: str, gains: Run, tmp_path: Path) -> None:
    old, new, code, words = WRONG[name]
    path = tmp_path / "site" / "myoedge_gains" / "__init__.py"
    assert old in path.read_text()
    text = path.read_text().replace(old, new).replace("ROWS =", f"{REFUSE}ROWS =")
    if "'k'" in new:  # a use has it, but the row does not
        text = text.replace('api.uses("gains")', 'api.uses("gains", k=[1])')
    path.write_text(text)
    done = gains("-m", "myoedge", "plugin", "check", "myoedge_gains")
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('api.import_row("gain", "lab::gain(x)")', "no operator gain: its own"),
        (
            'ImportRow("gains", api.import_row("gain", "lab::gain(x)").row, "lab::gain")',
            "there is no operator gain",
        ),
        ('ImportRow("gains", lambda b, a, out: b.add("gain"), "lab::gain")', "no operator gain"),
        ('ImportRow("gains", lambda b, a, out: 1 // 0, "lab::gain")', "ZeroDivisionError"),
    ],
)
def test_a_row_that_adds_nothing_is_the_plugin_s_error(row: str, words: str) -> None:
    def blame(cause: str) -> MyoedgeError:
        return MyoedgeError("E257", cause, {}, [])

    def use(row: api.ImportRow) -> None:
        (checked,) = checked_rows((row,), blame, ["gains"])
        builder = GraphBuilder()
        checked.row(builder, {"x": builder.input("x", (1, 3))}, (1, 3))

    made = eval(row, {"api": api, "ImportRow": api.ImportRow})
    with pytest.raises(MyoedgeError, match=words) as caught:
        use(made)
    assert caught.value.code == "E257"


def test_an_argument_that_a_row_does_not_read_has_one_value() -> None:
    """Losses of torch are means by default: no silent import as an operator of each element."""
    row = api.import_row("add", "loss(self, target)", only={"reduction": 0}).row
    for reduction, weight in ((0, None), (0, False), (1, None), (0, "x"), (0, 0)):
        builder = GraphBuilder()
        x = builder.input("x", (2, 3))
        given = {"self": x, "target": x, "reduction": reduction, "weight": weight, "_more": 1}
        if reduction == 0 and (weight is None or weight is False):
            assert builder.shape(row(builder, given, (2, 3))) == (2, 3)
            continue
        with pytest.raises(api.Unsupported) as caught:
            row(builder, given, (2, 3))
        accepted = re.search(r"only=(\{.*\})", str(caught.value))
        assert accepted is not None
        only = {"reduction": 0, **eval(accepted[1])}
        wider = api.import_row("add", "loss(self, target)", only=only).row
        assert builder.shape(wider(builder, given, (2, 3))) == (2, 3)


def test_a_reader_s_result_is_an_array_of_numbers(install: Install, tmp_path: Path) -> None:
    install("n", "1", "calibration", "n = nothing_plugin:f", "def f(path): ...")
    load_plugins(PluginsTable(calibration=["n"]))
    with pytest.raises(MyoedgeError, match="it returned input of type NoneType, not an") as caught:
        files.ADDED[".n"](tmp_path / "x.n", Reading())
    assert caught.value.code == "E257"


WHOLE = """
import json, numpy as np, torch, myoedge
from pathlib import Path
from tests.conftest import save_exported

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 24)
    def forward(self, x):
        return torch.deg2rad(self.layer(x)).cumsum(1)

torch.manual_seed(0)
model = save_exported(Network().eval(), (torch.zeros(1, 60, 2),), Path("m.pt2"))
build = myoedge.build(model, calib="r.raw", output="out")
found = myoedge.validate("out", on=("host", "simulator"))
(layer,) = (row for row in build.report["layers"] if "radians" in (*row["members"], row["op"]))
assert layer["tile"] and found.exact["host"] and found.exact["simulator"]
rows = json.loads(Path("out/manifest.json").read_text())["plugins"]
assert [(r["package"], r["version"]) for r in rows] == [
    ("myoedge-radians", "0.3.1"), ("myoedge-wristband", "1.0.0"), ("myoedge-raw", "2.1.0")]
assert myoedge.boards("wristband")
print("exact")
"""


@pytest.mark.slow
def test_the_example_packages_install_and_work(tmp_path: Path) -> None:
    """By pip, offline; a network with the operator, in a process of its own."""
    site, place = tmp_path / "site", tmp_path / "place"
    place.mkdir()
    for name in ("operator", "board", "reader"):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site))
    sources = [str(tmp_path / name) for name in ("operator", "board", "reader")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *sources], check=True)
    rows = np.random.default_rng(0).integers(-60, 60, (1800, 2)).astype("<i2")
    (place / "r.raw").write_bytes(np.int16(2).tobytes() + rows.tobytes())
    table = '[plugins]\noperators = ["radians"]\nboards = ["wristband"]\ncalibration = ["raw"]\n'
    run = python(place, site)
    (place / "myoedge.toml").write_text(table)
    done = run("-c", WHOLE)
    assert done.stdout.endswith("exact\n"), done.stdout + done.stderr
    (place / "myoedge.toml").unlink()
    done = run("-m", "myoedge", "validate", "out")
    assert done.returncode == 2
    assert 'operators = ["radians"]' in done.stderr
