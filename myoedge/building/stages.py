# SPDX-License-Identifier: Apache-2.0
"""Cache of a build's stages: a result is computed once for equal inputs. The pipeline's stages are
rows of a table, which one loop runs.

The key of a result is a digest of the stage's inputs, code, packages, compiler and machine. Results
are stored as JSON and arrays, never as code.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import myoedge.operators as families
from myoedge.backends.measurement import Activity, Inference, LayerCost, Measurement
from myoedge.building.records import NotRecordable, digest, packed, unpacked
from myoedge.codegen.render import digest_of, sources
from myoedge.errors import MyoedgeError, Notice
from myoedge.graph.constants import Constant, TensorQuant
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.operators.engine_choice import EngineChoice
from myoedge.quantization.calibrate import Calibration, Observer
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.fidelity import Fidelity, OutputFidelity
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import TriedMove
from myoedge.system import cache as files
from myoedge.system import toolchain
from myoedge.system.hooks import used_packages
from myoedge.system.tools import cache_folder

SWITCH = "MYOEDGE_STAGES"  # "off": nothing is read from or written to the cache
KEPT: tuple[type[Any], ...] = (
    *(Activity, Calibration, Constant, ConstantFormat, TriedMove, ElementType, EngineChoice),
    *(Evaluation, Fidelity, Graph, Inference, InputNormalization, LayerCost, Measurement, Node),
    *(Notice, Observer),
    *(Origin, OutputFidelity, QuantGraph, QuantParams, QuantizedNode, QuantizedParams, Tensor),
    TensorQuant,
)
CLASSES = {kind.__name__: kind for kind in KEPT}
PACKAGES = ("numpy", "torch", "onnx", "ortools", "scipy", "safetensors", "jinja2", "threadpoolctl")
MOST_BYTES = files.MAX_BYTES // 4  # of a cached result: a ResNet-18 takes 100 MB

Result = TypeVar("Result")


def key(*parts: Any) -> str | None:
    """Return a digest of everything that a stage's result depends on; None if caching is off.

    parts   inputs of the stage; None is returned if one of them cannot be serialised
    """
    with suppress(NotRecordable):
        return (
            digest(environment_fingerprint(), *parts) if os.environ.get(SWITCH) != "off" else None
        )
    return None


def reused(
    stage: str,
    key: str | None,
    compute: Callable[[], Result],
    say: Callable[[str], None] = lambda text: None,
    *,
    kind: type[Result] | None = None,
    lasts: Callable[[Result], bool] = lambda result: True,
) -> Result:
    """Return the result of a stage from the cache; otherwise compute and store it.

    key     None: no caching
    say     called with the stage's name, and what computes it anew, if it comes from the cache
    kind    dataclass of the result, if CLASSES does not have it
    lasts   result -> whether it may be stored, because it depends on the key only
    """
    if key is None:
        return compute()
    path = cache_folder("stages") / f"{stage}-{key}.safetensors"
    if (found := files.content(path)) is not None:
        with suppress(ValueError):
            result: Result = unpacked(
                found, CLASSES | operator_classes() | ({kind.__name__: kind} if kind else {})
            )
            say(f"{stage}: as before; {SWITCH}=off computes anew")
            return result
    result = compute()
    if lasts(result):
        # A full disk must not fail a build that has its result.
        with suppress(NotRecordable, MyoedgeError, OSError):
            if len(data := packed(result)) <= MOST_BYTES:
                files.keep(data, path)
    return result


def operator_classes() -> dict[str, type[Any]]:
    """Return the classes of operator parameters, by name."""
    return {kind.__name__: kind for op in OPS.values() for kind in op.constants.kinds}


def environment_fingerprint() -> tuple[Any, ...]:
    """Return everything except its inputs that may affect a stage's result: code, packages,
    compiler, machine, plug-ins, extensions.

    Errors: NotRecordable if an operator or a hook comes from no package.
    """
    packages = sorted({*_operator_packages(), *used_packages()})
    return *_computer_fingerprint(), *map(_package_digest, packages)


@cache
def _computer_fingerprint() -> tuple[Any, ...]:
    try:
        compiler = toolchain.compiler("zig").version
    except MyoedgeError:
        compiler = ""
    machine = (platform.machine(), sys.platform, sys.version, *_blas_cpu_type())
    return sources(), *map(_package_version, PACKAGES), compiler, *machine


def _package_version(package: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""


def _blas_cpu_type() -> list[str]:
    """Return the processor type that NumPy's linear algebra selects."""
    from threadpoolctl import threadpool_info

    found = (row for row in threadpool_info() if "numpy" in row["filepath"])
    return sorted(str(row.get("architecture")) for row in found)


def _operator_packages() -> list[str]:
    """Return the names of other packages that define operators or import rows."""
    functions = (function for op in OPS.values() for function in (op.real, op.integer.stated))
    modules = {
        *map(_module_of, functions),
        *(package.__name__ for package in families.ADDED),
    }
    return sorted({module.partition(".")[0] for module in modules} - {"myoedge"})


def _module_of(function: Any) -> str:
    """Return the name of the module that defines a function, or the function of a partial one."""
    while isinstance(function, partial):
        function = function.func
    return str(function.__module__)


@cache
def _package_digest(name: str) -> str:
    """Return the digest of a package's files. Errors: NotRecordable if the module is not a package
    with files."""
    place = getattr(sys.modules.get(name), "__file__", None) or ""
    if Path(place).name != "__init__.py":
        raise NotRecordable(name)
    return digest_of(Path(place).parent)


# --- stages of the pipeline as rows of a table, and the loop that runs them -----------------------

# Stages of a build in order: "evaluate" with labels, "simulate" for a chip. `quantize` has
# the first four.
STAGES = ("load", "quantise", "measure", "evaluate", "plan", "emit", "simulate", "check")
QUANTIZE_STAGES = STAGES[:4]
OTHER = "other"  # the rest of a build's time: plans and remedies that were tried, files
Say = Callable[[str], None]


@contextmanager
def timed(stage: str, times_s: dict[str, float], say: Say) -> Iterator[None]:
    """Context manager that reports a stage, and adds its duration to times_s.

    stage   name, and after ": " what the stage does
    say     progress callback
    """
    say(stage)
    name, began = stage.partition(":")[0], time.perf_counter()
    try:
        yield
    finally:  # a plan may fail, and another one be made
        times_s[name] = times_s.get(name, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    name       its name: in progress, in times, and in the cache
    inputs     names of the values that it takes, in the order of the arguments
    outputs    names of the values that it makes: one, or those of a tuple
    function   what computes the outputs; or the stages that do, which are cached as one
    key        names of the values that determine the outputs, for the cache; (), or if one of them
               is None: no caching
    kind       dataclass of a cached output, as in `reused`
    needs      name of a value without which (None) the stage is left out; its outputs are None
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[..., Any] | tuple[Stage, ...]
    key: tuple[str, ...] = ()
    kind: type[Any] | None = None
    needs: str = ""


def run(
    stages: Sequence[Stage], values: Mapping[str, Any], times_s: dict[str, float], say: Say
) -> dict[str, Any]:
    """Run stages in order, or take their outputs from the cache; return `values` and all outputs.

    values    name -> value, for the inputs that no stage makes
    times_s   receives the seconds of each stage
    say       progress callback
    """
    known = dict(values)
    for stage in stages:
        if stage.needs and known[stage.needs] is None:
            known |= dict.fromkeys(stage.outputs)
            continue
        given = {name: known[name] for name in stage.inputs}
        cached = partial(reused, stage.name, _stage_key(stage, known), say=say, kind=stage.kind)
        if isinstance(stage.function, tuple):
            made = cached(partial(_stage_outputs, stage, given, times_s, say))
        else:
            with timed(stage.name, times_s, say):
                made = cached(partial(stage.function, *given.values()))
        known |= zip(stage.outputs, made if len(stage.outputs) > 1 else (made,), strict=True)
    return known


def _stage_outputs(
    stage: Stage, given: Mapping[str, Any], times_s: dict[str, float], say: Say
) -> Any:
    """Return the outputs of a stage that consists of stages: one value, or a tuple."""
    assert isinstance(stage.function, tuple)
    made = run(stage.function, given, times_s, say)
    outputs = tuple(made[name] for name in stage.outputs)
    return outputs if len(outputs) > 1 else outputs[0]


def _stage_key(stage: Stage, known: Mapping[str, Any]) -> str | None:
    """Return the cache key of a stage; None without one, or if one of its values is None."""
    parts = [known[name] for name in stage.key]
    return None if not parts or any(x is None for x in parts) else key(stage.name, *parts)
