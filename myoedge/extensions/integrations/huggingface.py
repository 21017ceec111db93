# SPDX-License-Identifier: Apache-2.0
"""Export of a build for the Hugging Face Hub: weights, report, and a model card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.api.models import as_build
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.errors import MyoedgeError
from myoedge.extensions.integrations.mlflow import figures
from myoedge.reports import speed
from myoedge.reports.facts import FACT_OF, MEASURED, SAMPLES, facts, value_at
from myoedge.reports.report_json import Report
from myoedge.system.control_characters import document_bytes
from myoedge.system.folder import MANIFEST, write_folder
from myoedge.system.tools import install_command
from myoedge.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import EvalResult
    from torch import nn

FLOAT, INT8 = "model.safetensors", "model.int8.onnx"
TASK = "other"  # the Hub has no task for sensor windows
CARD = """\
# {name} for {chip}

Integer firmware for {chip}, built by myoedge {version}. report.json has all figures, by layer too.

| | |
|---|---|
{rows}

`{file}` is {what}. It is data: no code of this folder is run.
Build it with windows of your own for calibration:

    myoedge build {file}{factory} --target {chip} --calib windows.npz
"""


def save_model_folder(
    build: Build | StrPath,
    folder: StrPath,
    *,
    module: nn.Module | None = None,
    factory: str = "",
    **fields: Any,
) -> Path:
    """Write a local folder that `hf upload` can send to the Hugging Face Hub; return its path.

    build     a build or its folder
    folder    a new or empty folder
    module    the network that was built, whose float weights become model.safetensors; None: the
              folder has the build's model.int8.onnx
    factory   "pkg.mod:function" that makes the network; "": the module's class
    fields    entries of the card's front matter, as arguments of huggingface_hub.ModelCardData:
              license="mit", tags=["emg"], datasets=["user/recording"], pipeline_tag and others
    Errors: E109 the module's state has more than tensors, E220 not writable, E221 files in the
    folder, E222 no build, E501 huggingface_hub is missing.
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError as error:
        cause, tries = {"cause": error}, [install_command("huggingface")]
        raise MyoedgeError(
            "E501", "save_model_folder needs huggingface_hub", cause, tries
        ) from None
    built, target = as_build(build), Path(folder)
    if target.is_dir() and any(target.iterdir()):
        facts = {"needs": "a new or empty folder", "has": str(target)}
        raise MyoedgeError("E221", f"{target} has files", facts, ["another folder"])
    report = built.report
    tags = ["myoedge", report["target"]["chip"], "int8", *fields.pop("tags", ())]
    name, task = report["model"]["name"], fields.get("pipeline_tag", TASK)
    known = {"library_name": "myoedge", "model_name": name, "tags": tags}
    results = [*_metric_results(report, task)]
    front = ModelCardData(**{**known, "eval_results": results or None, **fields})
    card = ModelCard(f"---\n{front.to_yaml()}\n---\n\n{_card_text(report, module, factory)}")
    weights = {INT8: built.written(INT8)} if module is None else {FLOAT: _safetensors_bytes(module)}
    kept = {file: (built.folder / file).read_bytes() for file in (MANIFEST, "report.json")}
    write_folder(target, {"README.md": document_bytes(str(card)), **weights, **kept})
    return target


def _metric_results(report: Report, task: str) -> Iterator[EvalResult]:
    """Yield the metrics of labelled samples and of the run on the chip, for the card's
    `model-index`."""
    from huggingface_hub import EvalResult

    samples = value_at(report, "quantization.evaluated_on") or {}
    for path, value in figures(report).items():
        if FACT_OF[path].alike == SAMPLES:
            kind = path.rpartition(".")[2].partition("_")[0]  # accuracy, rmse, mae, r2
            data, split = samples.get("source", TASK), samples.get("data")
        elif path in MEASURED and report["cycles"]:
            kind, data, split = path, f"an inference on {speed.the_place(report)}", None
        else:
            continue
        yield EvalResult(
            task, TASK, data, kind, value, metric_name=FACT_OF[path].title, dataset_split=split
        )


def _card_text(report: Report, module: nn.Module | None, factory: str) -> str:
    """Return the text of the model card, without its front matter."""
    shown = ((fact.title, fact.text) for fact in facts(report))
    rows = [f"| {title} | {' '.join(x.split()).replace('|', '/')} |" for title, x in shown]
    fills = {"file": INT8, "what": "the network with its integers", "factory": ""}
    if module is not None:
        factory = factory or f"{type(module).__module__}:{type(module).__qualname__}"
        what = "the float weights; the network is made by code that you install"
        fills = {"file": FLOAT, "what": what, "factory": f" --factory {factory}"}
    model = {"name": report["model"]["name"], "chip": report["target"]["chip"]}
    return CARD.format(**model, **fills, version=__version__, rows="\n".join(rows))


def _safetensors_bytes(module: nn.Module) -> bytes:
    """Return model.safetensors: every entry of the state dict under its name, shared ones too."""
    from safetensors.torch import save

    state = module.state_dict()
    if others := [name for name, x in state.items() if not hasattr(x, "detach")]:
        tries = ["a network without get_extra_state, for the device"]
        facts = {"not tensors": ", ".join(others)}
        raise MyoedgeError("E109", f"{FLOAT} has tensors only", facts, tries)
    return bytes(save({name: x.detach().cpu().contiguous().clone() for name, x in state.items()}))
