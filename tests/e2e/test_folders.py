# SPDX-License-Identifier: Apache-2.0
"""Output folders of every kind, a person's files in them, and builds that were damaged."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import myoedge
from myoedge.backends.build import load_build
from myoedge.backends.build_folder import BuildFolder
from myoedge.backends.report_folder import report_digest
from myoedge.errors import MyoedgeError
from myoedge.system.folder import (
    MANIFEST,
    SCHEMA,
    explained,
    replace_files,
    sha256,
    to_json,
    write_folder,
)
from tests.conftest import Ran, thinned
from tests.e2e.test_bad_input import refused, whole
from tests.fuzz.edits import edit

Run = Callable[..., Ran]


@pytest.mark.parametrize("target", [".", "/", "out"])
def test_a_full_disk_names_the_target(target: str) -> None:
    with pytest.raises(MyoedgeError, match="E281") as raised, explained(Path(target)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.notice.title == f"no disk space left to write {target}"


def test_a_person_s_own_files_in_a_build_are_kept(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o")
    assert run(*build, "out").code == 0
    own = (tmp_path / "out" / "notes.txt", tmp_path / "out" / "src" / "main.c")
    for path in own:
        path.write_text("mine")
    refused(run(*build, "out"), 2, "E221", "notes.txt", "src/main.c")
    for path in own:
        assert path.read_text() == "mine"
        path.unlink()
    built = (
        "src/library/me_gemm_s8.o",
        "src/firmware.elf",
        "gap_sdk/build/app",
        "gap_sdk/BUILD/app",
    )
    left = (".report.json.123", "trace.json", ".trace.json.123")
    for made in ("src/network.o", "src/libnetwork.a", "src/selftest", *built, *left):
        path = tmp_path / "out" / made
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert run(*build, "out").code == 0, "what make and killed runs leave is no reason to refuse"
    assert not (tmp_path / "out" / "src" / "network.o").exists()


def test_generated_c_that_was_edited_is_kept(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "out")
    assert run(*build).code == 0
    edited = tmp_path / "out" / "src" / "network.c"
    before = edited.read_text()
    edited.write_text(before + "/* mine */")
    ran = run(*build)
    refused(ran, 2, "E221", "src/network.c")
    assert "quantise" not in ran.err, "it is told before the long part"
    edited.write_text(before)
    assert run(*build).code == 0


def test_output_folder_that_is_a_link(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o")
    assert run(*build, "real").code == 0
    (tmp_path / "real" / "src" / "network.c").unlink()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    assert run(*build, "link").code == 0
    refused(run(*build, "loop/below"), 2, "E220")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "loop", "real"]
    assert (tmp_path / "link").is_symlink()
    assert whole(tmp_path / "real")


def test_output_folder_with_an_odd_name(run: Run, small: Path, tmp_path: Path) -> None:
    build = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o")
    (tmp_path / ".**.myoedge-mine").mkdir()
    (tmp_path / ".**.myoedge-99999999").mkdir()
    for name in ("**", "[x", "a\nb", "new/../b"):
        assert run(*build, name).code == 0, name
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["**", ".**.myoedge-mine", "[x", "a\nb", "b"]
    (tmp_path / "empty").mkdir()
    refused(run(*build, ".", cwd=tmp_path / "empty"), 2, "E221", "the current folder")


# Of a build's files, those that nobody can do without.
NEEDED = ("graph", "weights", "plan", "golden/input", "src/network.c", "manifest")
DAMAGES: dict[str, bytes | None] = {
    "gone": None,
    "empty": b"",
    "object": b"{}",
    "list": b"[]",
    "half": b"half",
    "null": b"null",
    "deep": b"[" * 100_000,
}


@pytest.fixture(scope="module")
def build(small_build: Path) -> Path:
    return small_build


def one_of_a_kind(names: list[str]) -> list[str]:
    """Files of the firmware and of the library are alike: one of every ending."""
    kinds = {(Path(n).parent, Path(n).suffix) if n.startswith("src/") else n: n for n in names}
    return list({**kinds, **{n: n for n in names if n.startswith(NEEDED)}}.values())


def test_what_killed_runs_left_goes_with_the_next(build: Path, tmp_path: Path) -> None:
    """Not what a process that runs writes just now, nor what only looks alike."""
    shutil.copytree(build, tmp_path / "out")
    mine = f".report.json.{os.getpid()}"
    for name in (".report.html.99999999", ".layers.csv.9999999999", mine, ".notes.99999999"):
        (tmp_path / "out" / name).touch()
    replace_files(tmp_path / "out", {"report.html": b"new"})
    left = sorted(path.name for path in (tmp_path / "out").glob(".*"))
    assert left == [".notes.99999999", mine]


KILLED = """
import os, sys
from pathlib import Path
from myoedge.system.folder import replace_files
folder, left = Path(sys.argv[1]), int(sys.argv[2])
whole = os.replace

def replace(source, target):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    whole(source, target)

os.replace = replace
new = (folder / "report.json").read_bytes() + b" "
replace_files(folder, {"report.json": new, "report.html": b"new", "layers.csv": b"new"})
"""
REPORTS = ("report.json", "report.html", "layers.csv")


@pytest.mark.parametrize("left", range(4))
def test_reports_of_a_killed_run_are_all_there_or_none(
    build: Path, tmp_path: Path, left: int
) -> None:
    """Whichever of them a kill leaves to be replaced; whoever reads the build next sees it done."""
    folder = Path(shutil.copytree(build, tmp_path / "out"))
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, str(left)], check=False)
    assert ended.returncode == (9 if left < 3 else 0)
    assert load_build(folder).report
    assert [(folder / name).read_bytes()[-3:] for name in REPORTS[1:]] == [b"new", b"new"]
    assert (folder / "report.json").read_bytes().endswith(b" ")
    assert not [*folder.glob(".*")]


KILLED_CALIBRATION = """
import os, signal, sys
from pathlib import Path
import myoedge
left = int(sys.argv[2])

def killing(whole):
    def step(*given):
        global left
        if str(given[0]).startswith(str(Path(sys.argv[1]).parent)) and "energy" in str(given[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return whole(*given)
    return step

os.replace, Path.touch = killing(os.replace), killing(Path.touch)
Path.write_bytes, Path.unlink = killing(Path.write_bytes), lambda *_, **__: None
os.environ["MYOEDGE_ENERGY"] = sys.argv[1]
myoedge.calibrate_energy(sys.argv[3])
"""


@pytest.mark.parametrize("left", range(4))
def test_a_killed_calibration_leaves_nothing_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Wherever it is killed: before its file, before that is complete, and before it is there. The
    earlier calibration stays until then; files of others stay too."""
    place, rows = tmp_path / "energy" / "energy.json", tmp_path / "rows.csv"
    monkeypatch.setenv("MYOEDGE_ENERGY", str(place))
    rows.write_text("build,operating_point,power_mw\nidle,low,8.6\n")
    myoedge.calibrate_energy(rows)
    before = place.read_bytes()
    own = {".energy.json.backup", ".other.json.99999999", "energy.json"}
    for name in own - {place.name}:
        (place.parent / name).touch()
    rows.write_text("build,operating_point,power_mw\nidle,low,5.1\n")
    words = (sys.executable, "-c", KILLED_CALIBRATION, place, str(left), rows)
    ended = subprocess.run(words, check=False)
    assert ended.returncode == (0 if left == 3 else -signal.SIGKILL)
    assert (place.read_bytes() == before) == (left < 3)
    after = myoedge.calibrate_energy(rows)
    assert {path.name for path in place.parent.iterdir()} == own
    assert json.loads(place.read_bytes())["waiting"]["values"] == [
        *after.coefficients.waiting.values
    ]


def test_an_interrupt_does_not_leave_reports_of_two_runs(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, calls, replace = Path(shutil.copytree(build, tmp_path / "out")), [0], os.replace

    def interrupted(source: Path, target: Path) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_files(folder, dict.fromkeys(REPORTS, b"new"))
    assert {(folder / name).read_bytes() for name in REPORTS} == {b"new"}


def test_a_build_that_somebody_has_edited(build: Path, tmp_path: Path) -> None:
    """Whatever a verb reads of it is an error, or as it was: 1,000 are in tests/fuzz."""
    whole, harmless, codes = load_build(build), 0, set()
    folder = Path(shutil.copytree(build, tmp_path / "out"))
    for seed in range(30):
        told = edit(folder, random.Random(seed))
        try:
            found = load_build(folder)
            assert found.report == whole.report, told
            assert found.network.digest == whole.network.digest, told
            assert found.layer_names == whole.layer_names, told
            harmless += 1
        except MyoedgeError as error:
            codes.add(error.code)
        shutil.copyfile(build / told["file"], folder / told["file"])
    assert codes == {"E222"}
    assert 0 < harmless < 15


def test_files_of_a_build_that_make_no_sense(build: Path, tmp_path: Path) -> None:
    """Their digests are those of the manifest."""
    for name, text in (
        ("graph.json", "{}"),
        ("graph.json", '{"inputs": 3}'),
        ("graph.json", "\xe9"),
        ("plan.json", "[]"),
        ("plan.json", '{"steps": [{"name": "nowhere", "writes": "x"}]}'),
    ):
        folder = Path(shutil.copytree(build, tmp_path / "out"))
        (folder / name).write_bytes(text.encode("latin-1"))
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"][name] = sha256((folder / name).read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found = load_build(folder)
        with pytest.raises(MyoedgeError, match="not a whole build") as caught:
            _ = (found.network, found.regions)
        assert caught.value.code == "E222"
        shutil.rmtree(folder)


@pytest.mark.parametrize("damage", thinned(DAMAGES, len(DAMAGES)))
def test_damaged_build(run: Run, build: Path, tmp_path: Path, damage: str) -> None:
    """Every file in turn; what a verb does not read may be as it likes."""
    names = json.loads((build / "manifest.json").read_text())["files"]
    check_damaged(run, build, tmp_path, damage, one_of_a_kind(list(names)))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_build_in_every_file(run: Run, build: Path, tmp_path: Path, damage: str) -> None:
    names = json.loads((build / "manifest.json").read_text())["files"]
    check_damaged(run, build, tmp_path, damage, list(names))


def check_damaged(run: Run, build: Path, tmp_path: Path, damage: str, names: list[str]) -> None:
    for folder in ("whole", "out"):
        shutil.copytree(build, tmp_path / folder)
    for name in ("manifest.json", *names):
        path, content = tmp_path / "out" / name, DAMAGES[damage]
        before = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(
            before[:99] if content == b"half" else content
        )
        for verb in (
            ("validate", "out"),
            ("report", "out"),
            ("report", "whole", "--against", "out"),
        ):
            ran = run(*verb)
            assert ran.code in (0, 2), f"{name}: {ran.err}"
            if ran.code:
                refused(ran, 2, "E280" if "E280" in ran.err else "E222")
        path.write_bytes(before)
        if name.startswith(NEEDED):
            path.write_bytes(b"" if content is None else content)
            refused(run("validate", "out"), 2, "E222")
        path.write_bytes(before)


def test_reports_go_into_the_build_that_they_are_of_or_nowhere(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process builds into the folder between the last look at it and the writing."""
    folder = Path(shutil.copytree(build, tmp_path / "out"))
    other = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    other[MANIFEST] += b" "
    done, check = threading.Event(), BuildFolder._check_manifest

    def build_anew() -> None:
        write_folder(folder, other)
        done.set()

    def checked(found: BuildFolder, known: Mapping[str, Any]) -> None:
        check(found, known)
        threading.Thread(target=build_anew).start()
        assert not done.wait(0.2), "a build waits until the reports are there"

    monkeypatch.setattr(BuildFolder, "_check_manifest", checked)
    BuildFolder(folder).replace({"report.html": b"of the old build"})
    assert done.wait(20)
    assert (folder / "report.html").read_bytes() == other["report.html"]


def test_a_build_that_another_one_replaced_has_no_report(build: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(build, tmp_path / "out"))
    found = load_build(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "made": "by another build"}))
    with pytest.raises(MyoedgeError, match="has replaced it meanwhile"):
        _ = found.report
    with pytest.raises(MyoedgeError, match="has replaced it meanwhile"):
        found.check_written({MANIFEST: json.dumps(manifest).encode()})


def test_a_report_of_other_calibration_samples_is_refused(build: Path, tmp_path: Path) -> None:
    """The float network is the same, its integers are not."""
    report = json.loads((build / "report.json").read_text())
    report["model"]["integer_digest"] = "0" * 64
    report["digest"] = report_digest(report)
    other = Path(shutil.copytree(build, tmp_path / "other"))
    (other / "report.json").write_text(json.dumps(report))
    with pytest.raises(MyoedgeError, match="E222"):
        _ = BuildFolder(other).report


def test_two_first_builds_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of another process comes between the look and the move: it is replaced."""
    files = {"src/network.c": b"ours"}
    files[MANIFEST] = to_json({"schema": SCHEMA, "files": {}}).encode()
    rename, others = os.rename, [tmp_path / "out"]

    def late(source: Path, target: Path) -> None:
        if others:
            shutil.copytree(source, folder := others.pop())
            (folder / "src" / "network.c").write_bytes(b"theirs")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    write_folder(tmp_path / "out", files)
    assert (tmp_path / "out" / "src" / "network.c").read_bytes() == b"ours"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
