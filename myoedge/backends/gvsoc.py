# SPDX-License-Identifier: Apache-2.0
"""Backend "gvsoc": firmware on the public GVSoC with myoedge's model of a system like the chip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from myoedge.backends.measurement import FirmwareFiles, Measurement
from myoedge.errors import MyoedgeError
from myoedge.system import tools
from myoedge.targets import CHIPS, ENGINE_TEXTS

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_data" / "gvsoc"
# Folder of our system description: in an installed package, otherwise in the checkout.
DESCRIPTION = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "gvsoc"
SYSTEM = next(chip.gvsoc for chip in CHIPS.values() if chip.gvsoc)
PREPARE_S = 120.0

# Modules that our target needs; an installation for other chips lacks them.
_REQUIRED_FILES = ("bin/gvsoc", "bin/gvsoc_launcher", "generators/pulp-open.py")
_CORES = "models/gen_isa_pulp_cluster_*.so"
_LEFTOVERS = ("power_report.csv", "trace_file.txt")
INSTALL_HINT = "build public GVSoC with the target pulp-open; GVSOC_HOME=its install folder"
# The revision's requirements.txt lacks two packages that its front end imports.
_PIP = "pip install -r gvsoc/requirements.txt six typing_extensions"
GET_PYTHON = f"{_PIP}  (GVSoC's; for the first python3 on PATH)"
# Tested revision; later ones import a package that is not public.
GET = (
    "git clone https://github.com/gvsoc/gvsoc && git -C gvsoc checkout 209c147 && "
    f"{_PIP} && "
    'make -C gvsoc all TARGETS=pulp-open && export GVSOC_HOME="$PWD/gvsoc/install"'
)


@dataclass(frozen=True, slots=True)
class Gvsoc:
    """A GVSoC installation in `home`, with the folders bin, lib, generators and models."""

    home: Path

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines with a model, which the target pulp-open leaves out."""
        return tuple(x for x, model in SYSTEM.models.items() if (self.home / model).is_file())

    @property
    def environment(self) -> dict[str, str]:
        libraries = [str(self.home / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
        # Our system description may be in a read-only folder.
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def find() -> Gvsoc:
    """Return the installation in $GVSOC_HOME or, if that is not set, of `gvsoc` on PATH.

    Errors: E501 none.
    """
    home = os.environ.get("GVSOC_HOME", "")
    if home:
        return _check_installation(Path(home).absolute(), "GVSOC_HOME")
    program = shutil.which("gvsoc")
    if program is None:
        raise MyoedgeError("E501", "GVSoC is missing", tries=(INSTALL_HINT, "or put gvsoc on PATH"))
    return _check_installation(Path(program).resolve().parents[1], "gvsoc on PATH")


def _check_installation(home: Path, source: str) -> Gvsoc:
    missing = [part for part in _REQUIRED_FILES if not os.path.isfile(home / part)]
    missing += [] if os.path.isdir(home) and any(home.glob(_CORES)) else [_CORES]
    if missing:
        facts = {"found by": source, "folder": home, "lacks": ", ".join(missing)}
        raise MyoedgeError("E501", "the GVSoC installation is incomplete", facts, (INSTALL_HINT,))
    return Gvsoc(home)


def run_elf(
    elf: Path,
    folder: Path,
    *,
    timeout_s: float,
    frequency: int = SYSTEM.clock_hz,
    fc_hart: int = SYSTEM.first_core,
) -> tools.CompletedProcess:
    """Run firmware with the folder of its semihosting files; return exit code and output.

    frequency    of SoC and cluster in Hz; the peripherals' is half of it (equal for hart 9)
    fc_hart      mhartid of the fabric controller

    GVSoC's own files are removed. If GVSoC crashes, the exit code is minus the signal number.
    Raises E501 if GVSoC is missing or does not start, E502 after `timeout_s`.
    """
    installation = find()
    engines = {name: int(name in installation.engines) for name in SYSTEM.models}
    options = {"frequency": frequency, "fc_hart": fc_hart, **engines}
    with tools.scratch() as scratch:
        config = _write_configuration(
            installation, scratch, [f"--binary={elf.absolute()}"], options
        )
        # `gvsoc run` would turn every exit code of the firmware into 1.
        launcher = installation.home / "bin" / "gvsoc_launcher"
        command = (str(launcher), f"--config={config}")
        leftovers = [folder / name for name in _LEFTOVERS if not (folder / name).exists()]
        try:
            return tools.run(command, cwd=folder, env=installation.environment, timeout_s=timeout_s)
        finally:
            for file in leftovers:
                file.unlink(missing_ok=True)


def starts(installation: Gvsoc) -> bool:
    """Return whether GVSoC accepts myoedge's system description, for which the Python on PATH needs
    GVSoC's packages."""
    with tools.scratch() as scratch:
        try:
            _write_configuration(installation, scratch, [], {})
        except MyoedgeError:
            return False
    return True


def _write_configuration(
    installation: Gvsoc, scratch: Path, firmware: Sequence[str], options: dict[str, int]
) -> Path:
    """Write GVSoC's configuration of the system into `scratch`; return its path."""
    command = [
        str(installation.home / "bin" / "gvsoc"),
        f"--target-dir={DESCRIPTION}",
        f"--target={SYSTEM.target}",
        *(f"--target-property={name}={value}" for name, value in options.items()),
        *firmware,
        f"--work-dir={scratch}",
        "prepare",
    ]
    finished = tools.run(command, cwd=scratch, env=installation.environment, timeout_s=PREPARE_S)
    config = scratch / "gvsoc_config.json"
    if finished.returncode != 0 or not config.is_file():
        facts = {"exit code": finished.returncode, "output": finished.stderr.strip()[-400:]}
        raise MyoedgeError("E501", "GVSoC rejects our system description", facts, (GET_PYTHON,))
    return config


def require_engines(layers: Sequence[tuple[str, str | None]]) -> None:
    """Raise E504 if the installation has no model of an engine that layers need.

    layers   name and engine of each
    """
    installation = find()
    for engine, model in SYSTEM.models.items():
        on_engine = [name for name, needs in layers if needs == engine]
        if not on_engine or engine in installation.engines:
            continue
        text, target = ENGINE_TEXTS[engine], f"{SYSTEM.target}:{engine}=1"
        facts = {
            f"layers on {text}": len(on_engine),
            "the first": on_engine[0],
            "folder": installation.home,
            "lacks": model,
        }
        tries = (
            "build with --engine cores",
            "--on simulator",
            f"build GVSoC with the target {target} of {DESCRIPTION} instead of pulp-open",
        )
        raise MyoedgeError("E504", f"this GVSoC has no model of {text}", facts, tries)


def refuse_mram(image: bytes | None) -> None:
    """Raise E504 if a build reads weights from MRAM, which public GVSoC has no model of.

    image   content of mram.bin; None if the build has none
    """
    if image is None:
        return
    facts = {"weights in MRAM": f"{len(image):,} B", "lacks": "a model of the flash on the chip"}
    tries = ("build with --memory mram=off", "--on simulator")
    raise MyoedgeError("E504", "public GVSoC has no model of MRAM", facts, tries)


def run_firmware(elf: Path, files: FirmwareFiles, *, timeout_s: float = 3600.0) -> Measurement:
    """Run several inferences on GVSoC, one after another.

    Errors: E501, E502 as run_elf; E711 if the firmware ended with its own error code.
    """
    with tools.scratch() as folder:
        files.write(folder)
        finished = run_elf(elf, folder, timeout_s=timeout_s)
        printed = finished.stdout + finished.stderr
        rows = files.inferences(folder, finished.returncode, printed)
    return Measurement("gvsoc", rows, printed=finished.stdout)
