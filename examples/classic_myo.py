# SPDX-License-Identifier: Apache-2.0
"""Classifiers of scikit-learn, LightGBM and XGBoost on an armband's features, built for the chip.

Needs scikit-learn, skl2onnx, onnxmltools, lightgbm and xgboost in an environment of its own:

    python examples/classic_myo.py train libemg_myo.npz FOLDER
    python examples/classic_myo.py build FOLDER        # in myoedge's environment

`train` fits on repetitions 0 and 1, tests on 2, and writes models, samples and scikit-learn's own
accuracies; `build` prints the table of docs/train-and-deploy/networks.md.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

WINDOW, STEP, THRESHOLD = 6, 5, 2.0  # 30 ms every 25 ms, and units of the converter


def windows(path: Path) -> tuple[Any, ...]:
    """Return windows [n, 8, 6], their gestures and repetitions."""
    found = np.load(path)
    parts: list[tuple[Any, int, int]] = []
    for label in np.unique(found["labels"]):
        for rep in np.unique(found["reps"]):
            emg = found["emg"][(found["labels"] == label) & (found["reps"] == rep)]
            starts = range(0, len(emg) - WINDOW + 1, STEP)
            parts += [(emg[i : i + WINDOW].T, int(label), int(rep)) for i in starts]
    emg, labels, reps = zip(*parts, strict=True)
    return np.array(emg, np.float32), np.array(labels), np.array(reps)


def features(x: Any) -> Any:
    """Return mean absolute values, waveform lengths, zero crossings and slope sign changes."""
    d = np.diff(x, axis=-1)
    crossings = (x[..., :-1] * x[..., 1:] < 0) & (np.abs(d) >= THRESHOLD)
    large = np.maximum(np.abs(d[..., :-1]), np.abs(d[..., 1:])) >= THRESHOLD
    turns = (d[..., :-1] * d[..., 1:] < 0) & large
    parts = (np.abs(x).mean(-1), np.abs(d).sum(-1), crossings.sum(-1), turns.sum(-1))
    return np.concatenate(parts, -1).astype(np.float32)


def models() -> dict[str, Any]:
    """Return the classifiers by name, as their documentation has them."""
    from lightgbm import LGBMClassifier
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    return {
        "LDA": LinearDiscriminantAnalysis(),
        "logistic regression": LogisticRegression(max_iter=2000),
        "SVM, linear": SVC(kernel="linear"),
        "SVM, RBF": SVC(),
        "random forest, 100 trees": RandomForestClassifier(100, random_state=0),
        "LightGBM, 50 rounds": LGBMClassifier(n_estimators=50, verbose=-1, random_state=0),
        "XGBoost, 50 rounds": XGBClassifier(n_estimators=50, random_state=0),
    }


def with_converters() -> None:
    """Teach skl2onnx the classifiers of LightGBM and XGBoost."""
    from lightgbm import LGBMClassifier
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from xgboost import XGBClassifier

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind, name, convert in (
        (LGBMClassifier, "LightGbmLGBMClassifier", convert_lightgbm),
        (XGBClassifier, "XGBoostXGBClassifier", convert_xgboost),
    ):
        shapes = calculate_linear_classifier_output_shapes
        update_registered_converter(kind, name, shapes, convert, options=options)


def train(recording: Path, folder: Path) -> None:
    """Fit the classifiers, and write what `build` reads."""
    from skl2onnx import to_onnx
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with_converters()
    folder.mkdir(parents=True, exist_ok=True)
    emg, labels, reps = windows(recording)
    x, fitted, tested = features(emg), reps < 2, reps == 2
    np.savez(folder / "calib.npz", X=x[fitted][:, None])
    np.savez(folder / "test.npz", X=x[tested][:, None], label=labels[tested])
    accuracies = {}
    for name, model in models().items():
        pipeline = make_pipeline(StandardScaler(), model).fit(x[fitted], labels[fitted])
        accuracies[name] = float((pipeline.predict(x[tested]) == labels[tested]).mean())
        found = to_onnx(pipeline, x[:1], target_opset={"": 17, "ai.onnx.ml": 3})
        (folder / f"{name}.onnx").write_bytes(found.SerializeToString())
    (folder / "accuracies.json").write_text(json.dumps(accuracies))


def build(folder: Path) -> None:
    """Build every model for GAP9, and print a row of the table for each."""
    import myoedge

    accuracies = json.loads((folder / "accuracies.json").read_text())
    for name, theirs in accuracies.items():
        made = myoedge.build(
            folder / f"{name}.onnx",
            target="gap9",
            calib=folder / "calib.npz",
            test=folder / "test.npz",
            output=folder / name,
        )
        exact = myoedge.validate(made, on=("host", "simulator")).exact
        report = json.loads((folder / name / "report.json").read_text())
        cells = (
            name,
            f"{100 * theirs:.1f} %",
            f"{100 * report['quantization']['accuracy_int8']:.1f} %",
            f"{report['cycles']['total']:,}",
            f"{report['memory']['weights_bytes']:,}",
        )
        assert exact["host"]
        assert exact["simulator"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    match sys.argv[1:]:
        case ["train", recording, folder]:
            train(Path(recording), Path(folder))
        case ["build", folder]:
            build(Path(folder))
        case _:
            sys.exit(__doc__)
