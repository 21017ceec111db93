# SPDX-License-Identifier: Apache-2.0
"""Tables of myoedge.toml as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from myoedge.passes.condition import Conditioning
from myoedge.quantization.recordings.reading import LABEL, Reading
from myoedge.system.hooks import find_hook, load
from myoedge.targets import CHIPS

Method = Literal["minmax", "percentile", "mse"]
NetworkMethod = Literal["auto", "minmax", "percentile", "mse"]
# Engine of layers that match a [engine] pattern
if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[("auto", "cores", *(x for y in CHIPS.values() for x in y.accelerators))]

AUTO, FAST = "auto", "fast"  # of `weights`


@dataclass(frozen=True, slots=True)
class ModelTable:
    """[model]: the model file, the factory of a checkpoint's network, and the decoder after it.

    ctc    index of the blank class of greedy CTC; None: no CTC decoder
    vote   number of last frames in a majority vote; None: no vote
    """

    path: str | None = None
    factory: str | None = None
    ctc: int | None = None
    vote: int | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class CalibTable:
    """[calib]: the samples, how windows are cut from recordings, and how ranges are derived from
    them.

    window, hop, label, array, columns, classes   as in Reading
    scale   factor from the unit of the data to the unit of training, for all files or by file name
    """

    data: str | None = None
    window: int | None = None
    hop: int | None = None
    label: str | int = LABEL
    array: str | None = None
    columns: list[str | int] | None = None
    scale: float | dict[str, float] = 1.0
    classes: list[str] = field(default_factory=list)
    samples: int = 256
    method: NetworkMethod = "auto"
    percentile: float = 99.99
    holdout: float = 0.2
    accurate: bool = False
    weights: Literal["auto", "fast"] | None = None

    @property
    def reading(self) -> Reading:
        """Return the settings for reading the calibration data."""
        columns = None if self.columns is None else tuple(self.columns)
        by_name = self.scale if isinstance(self.scale, dict) else {"*": self.scale}
        scales = () if self.scale == 1.0 else tuple(by_name.items())
        classes = tuple(self.classes)
        return Reading(self.window, self.hop, self.label, self.array, columns, scales, classes)


@dataclass(frozen=True, slots=True)
class TestTable:
    """[test]: test samples, used only for evaluation and read with the settings of [calib].

    label   array or column with the labels; None: as in [calib]
    """

    data: str | None = None
    label: str | int | None = None

    def reading(self, calib: Reading) -> Reading:
        """Return the settings for reading the test data."""
        return calib if self.label is None else replace(calib, label=self.label)


@dataclass(frozen=True, slots=True)
class TargetTable:
    """[target]: the chip, and the board (id or board.toml) whose memories the program may use."""

    chip: str | None = None
    board: str | None = None


@dataclass(frozen=True, slots=True)
class LayerTable:
    """A line "pattern" of [quant]: settings for matching layers.

    weights       scales "per_channel" or "per_tensor"; or weight bits, 2 to 8 or 16, per channel
    activations   16: int16 results; 8: int8, unless the precision search needs int16
    """

    weights: Literal["per_channel", "per_tensor"] | int = "per_channel"
    activations: Literal[8, 16] = 8
    method: Method | None = None
    percentile: float = 99.99


@dataclass(frozen=True, slots=True)
class BudgetTable:
    """[budget]: limits of a build.

    latency, l1, l2, l3, flash, energy   as text with units: "20 ms", "900 KiB", "1 mJ"
    external   most parts beside the chip: "none", "flash" to start from, or "ram": both, as L3 is
               filled from flash
    sqnr   in dB, for all outputs or by output
    """

    latency: str | float | None = None
    l1: str | int | float | None = None
    l2: str | int | float | None = None
    l3: str | int | float | None = None
    flash: str | int | float | None = None
    external: Literal["none", "flash", "ram"] | None = None
    energy: str | float | None = None
    sqnr: float | str | dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class CheckTable:
    """[check]: by how much a build may be worse than the accepted one of `myoedge check`.

    cycles, latency, energy, power, memory, rmse   fractions: 0.02 is 2 %
    sqnr_db    decibels
    accuracy   shares: 0.01 is a point
    parts      beside the chip
    """

    cycles: float | None = None
    latency: float | None = None
    energy: float | None = None
    power: float | None = None
    memory: float | None = None
    rmse: float | None = None
    sqnr_db: float | None = None
    accuracy: float | None = None
    parts: float | None = None


@dataclass(frozen=True, slots=True)
class StreamTable:
    """[stream]: the time axis of the inputs, and the number of frames computed per pass.

    axis           time axis; None: the only possible one
    frames         frames per pass
    rate           samples per second
    hop, window    a frame covers `window` samples, one starts every `hop`
    past, future   context before and after the frames of a pass, in frames or as "900 ms"
    states         input -> output that supplies it in the next pass, for one-step networks
    """

    axis: int | None = None
    frames: int | None = None
    rate: float | None = None
    hop: int = 1
    window: int | None = None
    past: int | str | None = None
    future: int | str | None = None
    states: dict[str, str] = field(default_factory=dict)

    @property
    def frame_hz(self) -> float | None:
        """Frames per second; None without a rate."""
        return None if self.rate is None else self.rate / self.hop

    @property
    def window_s(self) -> float | None:
        """Duration of the signal that a frame covers, in seconds; None without a rate."""
        return None if self.rate is None else (self.window or self.hop) / self.rate


@dataclass(frozen=True, slots=True)
class PluginsTable:
    """[plugins]: names of the entry points to load, by kind."""

    operators: list[str] = field(default_factory=list)
    boards: list[str] = field(default_factory=list)
    calibration: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Config:
    """All tables of myoedge.toml, with defaults; `tables` has the tables of extensions by name."""

    model: ModelTable = field(default_factory=ModelTable)
    calib: CalibTable = field(default_factory=CalibTable)
    test: TestTable = field(default_factory=TestTable)
    target: TargetTable = field(default_factory=TargetTable)
    quant: dict[str, LayerTable] = field(default_factory=dict)
    engine: dict[str, EngineName] = field(default_factory=dict)
    budget: BudgetTable = field(default_factory=BudgetTable)
    check: CheckTable = field(default_factory=CheckTable)
    stream: StreamTable = field(default_factory=StreamTable)
    conditioning: Conditioning = field(default_factory=Conditioning)
    plugins: PluginsTable = field(default_factory=PluginsTable)
    tables: Mapping[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Any:
        """Return a table of an extension, with its defaults if the file has none."""
        return (
            self.tables[name] if name in self.tables else load(find_hook("tables", name), "kind")()
        )
