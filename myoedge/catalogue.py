# SPDX-License-Identifier: Apache-2.0
"""What every error and warning means and what to do about it: the text of `myoedge explain`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass

from myoedge.errors import EXIT_CODES, MyoedgeError, Notice


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's meaning in one line, and what there is to know about it."""

    code: str
    title: str
    text: str


# One paragraph a code: the code and its meaning, then why it matters and what to do.
_PARAGRAPHS = """\
E101 The model file is not there or cannot be read.
Paths on the command line start in the folder you are in, those in myoedge.toml where that file
lies. Check the name and the permissions.

E102 A folder is named where a model file is needed.
Name the file itself: a torch.export archive (.pt2), an ONNX model, or weights with --factory.

E103 The file is not a network that myoedge reads.
The content decides, never the extension, and the message says what was found. TorchScript and
pickled modules carry code or lack shapes, other formats have no reader yet.
Load the model in the framework it came from and save it as a torch.export archive; the message
has the lines of Python for it.

E104 The file is damaged.
It ends early, its parts do not belong together, or it declares more data than it has. A half
finished copy or download is the usual cause. Save or copy the model again.

E105 The file is empty.
The program that wrote it may have been stopped, or its disk was full. Save the model again.

E106 The file holds weights only, and the network they belong to is not known.
A state dict names numbers, not what is computed with them. Name a function that returns the
network, --factory pkg.mod:make_model; it is imported from the folder you are in. Or export model
and weights together with torch.export.save.

E107 The archive is not one that can be loaded without risk.
torch.export.load unpickles and evaluates parts of an archive, so a crafted one runs code of its
author. Archives are examined before that: this one would run something, or has a member that
torch.export.save does not write. Nothing in it was run.
Export the model again where it was trained, without custom objects. Do not load such a file with
torch either, unless you trust whoever made it.

E108 The archive is intact, but this torch cannot read it.
It comes from another release of torch, or was exported on a GPU. The operator set of exports moves
with every release, so myoedge is tied to one. Export again with the torch that `myoedge doctor`
shows, after model.cpu().eval().

E109 The weights do not fit the network, or the file holds no weights.
Names or sizes differ from what the factory's network has, so that some layers would keep random
values. Wrappers such as "state_dict", "module." and "model." have been taken off already.
Let the factory build the network that was trained, with the same arguments.

E110 The model has dynamic shapes.
Firmware has fixed buffers: every size must be known when it is built. Export without
dynamic_shapes= or dynamic_axes=, with an example input of the size that the device sees. A batch
axis that is dynamic in an ONNX model is set to 1; for the others the message has a tool's line.

E111 The network uses something that cannot be built.
The message names every operator that is in the way, its module path and source line, and what to
use in its place. `myoedge ops` lists what there is; docs/ops.md says more. Preprocessing can often
move to the host, in front of the network.

E112 A weight is NaN or infinite.
One such value spoils every output that depends on it, and no range fits it. The training run has
diverged or the checkpoint is damaged: go back to an earlier one, or lower the learning rate.

E113 The model was exported in training mode.
Dropout would be active and batch norm would use the statistics of the batch, which a device does
not have. Call model.eval() before torch.export.export(...).

E114 The network changes a state of its own.
A buffer is written while the network runs, so the same input would give another output the next
time. Take the old state as an input and return the new one as an output.

E115 An output does not depend on any input.
It is the same for every window, so there is nothing to compute on the device. Leave it out of what
forward() returns.

E116 An input is not floating point.
Inputs are real numbers that the host quantises to int8; indices and truth values have no such
form. Convert them in front of the network, for example to one-hot vectors.

E117 An accumulator could leave its 32 bits.
Sums are proven not to overflow for these weights and this bias at the worst possible input; here
they are not. Usually one output adds up very many products. Use smaller kernels, fewer channels or
groups in the layer named.

E118 The network cannot be exported.
torch.export runs the network once with example inputs, and that failed: either forward() raises
for inputs of these shapes, or it decides by values or changes weights (max-norm), which an export
cannot hold. The cause is the one torch gives. See that model(*example) runs in Python, and
torch.export.export(model, example).

E119 The ONNX model breaks the rules of its format.
onnx.checker or the inference of shapes says so, and the message has its words: nodes that are not
in order or read what nobody writes, names written twice, attributes that an operator does not have,
tensors whose shapes do not go together. Export the model again, or ask the tool that edited it.

E120 The ONNX model is of an opset that is not read.
An opset is a version of all operators' meanings. Opset 13 (2020) and later are read, up to what the
installed onnx package knows. onnx.version_converter changes older models, the message has its
lines; newer ones need a newer onnx package.

E121 The ONNX model's external weights cannot be used.
Weights may lie in files beside the model, and nowhere else: a path that leads out of the model's
folder, by "..", from the root, or through a link, is not followed. The message names the tensor. A
file that is missing was perhaps not copied along. onnx.load and onnx.save make one file of it all.

E131 The network cannot run on a stream.
With --stream a frame is computed from itself and from frames before it. A layer that pads behind
the last frame, runs backwards, or takes an average, a softmax or attention over all frames needs
what has not come yet; the message names it and its line. Pad in front only, or let [stream] past
and future run the whole network on windows: outputs come as much later as there is future in them.

E200 The command line is not understood.
A verb, an option or a value is wrong, or something is missing. `myoedge --help` lists the verbs,
`myoedge VERB --help` its options.

E201 There is no such target.
The message lists the chips that are known. "host" is any computer: no memory limits.

E202 No model is named.
Name the file on the command line or as [model] path in myoedge.toml; `myoedge init` writes one.

E203 An option that decides how ranges are observed is out of bounds.
The method is minmax, percentile or mse; the percentile is more than 50 and at most 100; at least
one sample is needed.

E204 There is no such choice.
--on names rungs of the ladder: host, the generated C on the computer you sit at (validate alone);
simulator, the firmware on the simulated chip; gvsoc, where one is installed. --operating-point is
high, low, auto or a clock between them, --like silicon or public-gvsoc. Only the simulator records
a trace.

E205 The input shape of a checkpoint's network is not known.
Weights do not say how long a window is. Give calibration data, --calib calib.npz, or let the
factory return (model, example_inputs).

E206 The factory cannot be used.
--factory names a function as pkg.mod:make_model. It was not found, takes arguments, raised an
error, or returned something that is not a torch module. It is imported from the folder you are in;
the cause names the line.

E207 The output of the network cannot be decoded.
--ctc BLANK puts greedy CTC behind the output, which has to be [frames, batch, classes] or [frames,
classes], and BLANK one of its classes; negative numbers count from the last.

E208 There is no such code.
Codes are an E or a W and three digits, as in error[E213]. The first digit is the exit code.

E210 A file of samples is not there.
It has windows to calibrate with, or those of --input. Make one from real recordings, cut and
filtered as the network will see them: some hundred windows of every class.

E211 A file of samples is not a readable npz or npy file.
np.savez("calib.npz", input=windows) writes one. CSV, MAT and HDF5 files have to be read and
written again.

E212 The arrays are not named as the model's inputs.
`myoedge inspect MODEL` shows the names. A model with a single input may call it "input"; class
numbers may stand beside it as "label".

E213 An array does not have the shape of the model's input.
The first axis counts samples, the others are the input's own; where the input's first axis is 1,
it may be left out. `myoedge inspect MODEL` shows the shapes. Mind the order of electrodes and time.

E214 An array has the wrong type.
Inputs are real numbers (float32 or integers), labels are class numbers, and run(..., raw=True)
takes the integers that network.h names. Objects, strings and complex numbers have no meaning here.

E215 There are no samples.
The file or array is empty. Ranges are observed on samples, so at least one is needed; some hundred
are good.

E216 A sample holds NaN or infinite values.
One of them would decide the range of every layer. Lost packets of a recording often end as NaN:
leave such windows out.

E217 The file holds pickled arrays.
Reading those could run code, so they are refused. Save arrays of plain numbers:
np.savez(..., input=np.asarray(windows, dtype=np.float32)).

E218 The arrays have different numbers of samples.
Inputs and labels belong together sample by sample, so their first axes must be equal.

E219 There is nothing to calibrate with.
int8 needs to know how large values become inside the network, and that follows from samples. Give
--calib, name [calib] data in myoedge.toml, or export with example inputs, which is a makeshift.
"--calib random" tries a build out; its accuracy means nothing.

E220 A folder cannot be used.
It is not there, read-only, belongs to somebody else, or a file stands where a folder is needed.
Choose another one, for a build with -o.

E221 Something else is in the output folder.
A build replaces its folder as a whole, so it only takes the place of an earlier build or of an
empty folder, and of an earlier build only where nothing but its own files is in it and its C is as
it was written: what you edited is yours. Choose another one with -o, or move what is there.

E222 There is no whole build where one is needed.
validate and report work on what `myoedge build` wrote, with all its files, unchanged but for the C,
which may be edited as long as it compiles. Name its folder; without a name the newest one below
build/ is taken. Build again where files are missing or changed.

E223 A file that init writes is there already.
init never overwrites. Rename the file, or name another folder.

E224 A layer gives NaN or infinity for a calibration sample.
No range holds such a value. The logarithm or root of something negative, a division by zero or an
exponential of something large are the usual causes: clamp in front of it, log(x.clamp(min=1e-6)),
and look at that sample.

E230 myoedge.toml has a key that means nothing.
A mistyped key would be ignored in silence, so it is an error. The message lists what is known there
and the nearest right one.

E231 The configuration cannot be read.
The file is not there or is not TOML; the cause names the line. `myoedge init` writes a good start.

E232 A value in the configuration is wrong.
Sizes are text such as "900 KiB", latencies such as "20 ms" with their unit, percentiles lie above
50 and up to 100, counts are at least 1.

E233 A [quant] pattern matches no layer.
Patterns are module paths, with * for any part: "head.*". The message lists the paths of this
network; a typing error would otherwise leave a layer as it was.

E234 A budget is set that cannot be judged.
A target without a clock has neither latency nor energy. A limit that nothing holds would look as if
it were kept, so it is refused: take it out of [budget].

E235 Several axes of the input could be time.
The network computes alike along each of them, so that nobody but you knows which one grows while a
stream runs. Name it in myoedge.toml: [stream] axis counts from 0, the batch axis included.

E236 A pass of the stream is not a whole number of frames.
Convolutions and pooling with strides along time make one frame of several, so that frames must be
computed in multiples of all strides together; the message has the next one. On windows, past and
future must leave some frames for outputs, and are times ("900 ms") only where rate is known.

E237 The application takes no stream.
The applications that --app writes run the network on whole samples, one after another. Build with
--stream alone, and call me_push and me_reset of src/ where frames come in.

E238 The filters in front of the network cannot be.
[conditioning] in myoedge.toml needs rate_hz, samples a second, and band_hz, two edges between 0 and
half of it, or notch_hz. The network must have one input, along one axis of which is time.

E240 A build has no firmware.
It was made for a target without a chip (--target host), or by a version that did not compile it.
Build it for gap9; for boards with --app gap-sdk.

E241 A file is no program for this chip.
`simulate --elf` takes 32-bit little-endian RISC-V ELF files, linked for GAP9's register map.

E242 A program does not lie in the chip's memory.
Everything it loads must lie in L1 (128 KiB at 0x10000000) or L2 (1.5 MiB + 64 KiB at 0x1C000000),
and it must start at an even address of L2.

E243 What shall be dumped is not in memory.
--dump takes ADDRESS:SIZE within L1 or L2, as 0x1C170000:64KiB.

E244 A flash image is damaged.
It ends before what its head promises, or a CRC-32 is not that of the bytes: a copy or a download
that did not finish. Write it again.

E250 Measurements of energy cannot be read.
`energy calibrate` takes a CSV file: in every row a build's folder (seen from where the file lies)
or "idle", the operating point, and energy_uj of an inference or power_mw while it runs. The
counters of a build are those of its last `myoedge simulate`.

E251 The calibration of energy on this computer cannot be read.
The file that `energy calibrate` keeps is damaged, or from another version. Calibrate again, or
delete it: then the published coefficients hold.

E252 The description of a board is wrong.
A board.toml names the chip, its memories, probe, console and power pad; docs/boards.md lists every
key. All that is wrong is told at once, by key. Nothing is guessed: what is not known is left out.

E253 There is no such board.
`myoedge boards` lists those that come along. A board of your own is a file: --board ./my/board.toml

E254 The build takes no frames.
push and reset are for builds with --stream, which keep what they need of the frames before. Any
other build runs the network once, on a whole sample: run, with nothing left for the next time.

E260 The file of a sweep cannot be used.
It is TOML with at least one [[model]] (path, calib, factory, name); [[budget]] and [[options]] have
names, and the keys of [budget], and method, percentile, samples and quant; operating_points,
simulate, target and [bounds] stand for all. Files that it names are seen from where it lies.

E261 What a sweep is compared with is no sweep.
--against takes the folder of an earlier sweep, or its sweep.json.

E280 A folder holds no C.
src/ of a build folder has been emptied or moved. Build again.

E281 There is no room on the disk.
Nothing was changed: an earlier build is still there, whole. Free some space; MYOEDGE_CACHE names
another folder for compiled libraries.

E301 The network does not fit the chip's memory.
Weights, activations, inputs and outputs come from L3 in parts where the second-level memory (L2)
has no room for all of them; what a few tiles of a layer need has to fit at a time, and all that a
layer without tiles, or one that turns axes, reads and writes. The message says what there is, and
which buffers are the largest. Fewer channels, pooling earlier or shorter windows help; --target
host builds anyway, to see the rest of the report.

E302 The build is over a budget.
Limits come from [budget] in myoedge.toml and from --l1, --l2 and --l3. Memories are planned to fit
them; latency and energy are what the cost models say, at the operating point; SQNR is a lower
bound. The message names the layers that cost most. Nothing was written. Change the network or the
budget.

E303 The program does not fit the chip's memory.
Code, weights, activations and the buffers of inputs and outputs share L2. The data alone may still
fit: then it is code and constants that make it too large. Fewer layers or channels help.

E304 A layer has no tile that fits the L1 budget.
The smallest tile of this layer is larger than what --l1 or [budget] leaves when stacks and runtime
have theirs; the message says which operand takes most. A budget that is too small is an error:
without one, the layer would be computed in L2, slowly, with a warning (W301).

E305 A sweep is worse than an earlier one.
With --against every result that was in order before is compared by its name, and a figure that is
worse than [bounds] allow, or a result that is refused or gone, ends with this error. The tables
are written before. Look at sweep.html, mend it, or make the new results the ones to compare with.

E306 The stream does not fit the chip's L2.
Frames of a pass and what is kept of those before lie in L2, the latter twice: what one pass reads
and what it writes. Weights and activations can come from L3 instead, these cannot. Fewer frames in
a pass, fewer channels or shorter kernels along time help.

E501 A program or a package is missing or does not start.
`myoedge doctor` shows what is there and how to get the rest. torch is needed for PyTorch models
(pip install 'myoedge[torch]'), a C compiler to run the generated code (one comes as ziglang).
GVSoC, which is optional, is looked for in the folder that GVSOC_HOME names, else as gvsoc on PATH.

E502 A program did not finish in time.
It was ended, with everything it had started. A machine under heavy load is the usual cause.

E503 Whoever worked on a sweep is gone.
A process was killed, perhaps for want of memory; or no Dask scheduler answers at that address, or a
task has ended several of its workers. Finished results are kept: the same command again does the
rest. Fewer processes (--jobs) need less memory.

E601 No board is plugged in, or it is not clear which.
The console is looked for among the serial ports of USB devices with the ids of the board's probe. A
probe often has two: --port names the right one.

E602 Nothing is known of a part of the board.
board.toml leaves out what nobody could say: a console, a probe, a flasher for one of its memories.
Copy the file, fill it in, and name it: --board ./my/board.toml

E603 A serial port does not open.
It is gone, another program has it, or you may not use it (on Linux the group dialout may).

E604 The board, or the meter, says nothing.
The port opened and nothing came back. The application may not be there, may have been built to
print instead of serving the line, or another port of the probe is the console.

E605 What the board, or the meter, says makes no sense.
Bytes came, and no frame with a right CRC among them, several times over. Two speeds that differ are
the usual cause; another program's text is another.

E606 The board runs something else.
Its application says which build it is, and it is not this one, so its results would mean nothing.

E607 The line to the board broke.
The board was unplugged or switched off in the middle of a question. Nothing was written here.

E608 The board does not do what it is asked for.
Its application answered, and refused. Where it did not run: the SDK starts cluster tasks on another
core than 8, which app.c looks at.

E609 OpenOCD could not do what it was asked for.
It ended, or a command failed; the message has its own last words. A board that was unplugged in the
middle, a probe that another program has, or scripts for another OpenOCD are the usual causes.

E610 The chip at the probe is another.
Its JTAG TAP has another number than board.toml says. Nothing was written to it.

E611 What was written is not what is there.
Memory was read back after it was written, and differs. The program was not started; what is in
flash is not whole. Usually it is the cable, or a clock that is too fast for it.

E612 The flasher does not answer.
It was started on the board and did not say that it is ready. Reset the board and try again; the
flash may hold a part of the image.

E613 The program is not one for this board.
`flash` takes what the SDK compiled out of gap_sdk/ of this very build, linked to the chip's memory:
the program carries chip and digest, and they are compared before anything is written.

E614 The meter saw something else than there was.
Inferences are told by the board's power pad at the meter's D0: it must rise once for each. Samples
are numbered, and none may be missing: a recording with holes gives no energy.

W601 The program for simulators was written to a board.
firmware.elf knows the chip's registers and no SDK. It has never run on silicon.

E701 The simulated program met an illegal instruction.
The cores run RV32IMC and Xpulpv2, without floating point. A jump through a wrong pointer, code that
was overwritten, or a program compiled for another chip end this way. The message names core, pc,
function, source line, cycle and registers.

E702 The simulated program read or wrote where nothing is.
Neither L1, L2 nor a register lies at that address. The cores cannot address the off-chip memory:
it is read through its own DMA.

E703 The simulated program jumped out of its code.
Instructions come from L2, at even addresses.

E704 The simulated program used a register that is not simulated.
It does not exist, or not for accesses of that size, or it belongs to a part of the chip that the
simulator does not have.

E705 The simulated program misused the DMA.
A length of 0 or above 128 KiB, an id that was never given out, 2D on the L1 side, addresses outside
L1 and L2; or a core touched bytes that a transfer was still to write or to read, which on the chip
gives one result today and another tomorrow. Wait for the transfer first.

E706 A stack of the simulated program overflowed.
A core wrote into the last bytes of its stack. Move arrays out of functions, or enlarge the stacks.

E707 The simulated program is stuck.
Every core sleeps and nothing is under way that could wake one: a barrier that somebody never
reaches, an event that nobody sends, or one that is masked.

E708 The simulated program did not end in time.
It ran for as many cycles as were allowed. --max-cycles raises the limit; --window shows what it
executes.

E709 The simulated program used what nothing handles.
An ebreak that is no semihosting call, an ecall, or an interrupt: the simulator takes none.

E710 The firmware wrote a file of the wrong size.
output.bin and cycles.bin must hold what the network gives for the inputs it was given. Build again.

E711 The firmware ended with an error of its own.
The exit code says which: src/exit_codes.h lists them. 101 is a stack that overflowed.

E712 The computer has no memory left for what a simulated run records.
Ask for less: a shorter --window, no --profile.

E900 A bug in myoedge.
Neither your model nor your command is to blame. The message names a file with what is needed to
find it: please report it, with that file and, if you may, the model.

E910 C of the package or generated by it does not compile: a bug in myoedge.
The C of a build compiles without a warning, always. Please report it with src/ and the
compiler's message. If the files were edited by hand, build again.

E911 The generated C reported a failure: a bug in myoedge.
me_run returns 0 or something is badly wrong. Please report it with the build folder.

E912 The generated C does not compile for the chip: a bug in myoedge.
The message holds what the compiler said. A compiler of your own (--cc) may be too old, or not one
for RISC-V at all. Otherwise please report it, with the model.

E920 A graph inside myoedge is not legal: a bug in myoedge.
The graph is checked before and after every stage, so that a fault is seen where it arises and not
in the C. The message names the stage, the tensor and the rule. Please report it, with the model or
the part of it that shows it.

E930 The program holds an instruction that it must not: a bug in myoedge.
Of some instructions it is known that the chip and its simulators differ. Generated code and its
runtime never need one, so a compiler has brought it in. Please report it, with the message.

W101 A layer is dead.
Its output was the same for every calibration sample: a ReLU whose inputs are all negative, or
weights that are zero. What follows learns nothing from it, and its memory is wasted. Calibrate
with samples of every class; if it stays, look for a dying ReLU in training.

W102 A layer loses much in int8, whatever comes before it.
Its own rounding leaves less than 12 dB between signal and noise; usual layers have 30 to 45. Few
large values beside many small ones do not share 256 steps, and a softmax over hundreds of positions
has shares below its step of 1/256. Look at the accuracy, clip outliers (--method percentile), or
change the layer.

W301 A layer is computed in L2, as no tile of it fits L1.
Cores reach L1 in a cycle and L2 in fifteen, so layers are computed in L1 in tiles. The smallest
tile of this one is larger than what stacks and runtime leave of L1; the message says which operand
takes most. It works, slowly: give it more L1, or make its kernel or its channels smaller.

W302 The stream does not keep up.
Frames come faster than the model of cycles says that they are computed, at this operating point.
Weights that come from L3 come once a pass: more frames in a pass make each of them cheaper, and the
first of them waits longer. [stream] rate without frames takes as few as keep up.

W201 All calibration values of an input are the same.
Ranges seen on such data mean nothing, so int8 will be wrong for real windows. Calibrate with real
recordings.
"""

_REMARKS = {
    4: """\
validate found a value in which the generated C and the NumPy reference differ. There is no
tolerance, so this is a bug in myoedge or in the C compiler, or src/ was edited. The first
difference is shown by layer and index: please report it with the build folder.""",
}


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every code with its meaning."""
    found = {}
    for paragraph in _PARAGRAPHS.strip().split("\n\n"):
        head, _, text = paragraph.partition("\n")
        code, _, title = head.partition(" ")
        found[code] = Entry(code, title, text)
    return found


_BY_EXIT_CODE = (
    f"myoedge explain NUMBER  all codes of an exit code: {', '.join(map(str, EXIT_CODES))}"
)


def explanation(code: str) -> str:
    """What a code means, why it matters, what to do, and its exit code.

    code    "E213", in capitals or not; or an exit code, "4"
    Errors: E208 where there is no such code.
    """
    wanted = code.strip().upper()
    if wanted.isdecimal() and int(wanted) in EXIT_CODES:
        return _of_exit(int(wanted))
    found = entries().get(wanted)
    if found is None:
        tries = [f"myoedge explain {name}  {entries()[name].title}" for name in _near(wanted)]
        raise MyoedgeError("E208", f"there is no code {code!r}", tries=tries or [_BY_EXIT_CODE])
    return f"{found.code}  {found.title}\n\n{found.text}\n\n{_exit_line(found)}"


def _near(wanted: str) -> list[str]:
    """Three codes that may have been meant: the same beginning counts more than the same digits."""
    alike = difflib.get_close_matches(wanted, entries(), len(entries()), 0.5)
    return sorted(alike, key=lambda code: not code.startswith(wanted[:3]))[:3]


def _exit_line(entry: Entry) -> str:
    exit_code = Notice(entry.code, entry.title).exit_code
    start = "A warning. With --strict an error, exit code" if entry.code[0] == "W" else "Exit code"
    return f"{start} {exit_code}: {EXIT_CODES[exit_code]}."


def _of_exit(exit_code: int) -> str:
    """An exit code, and the errors that have it."""
    codes = [
        f"{e.code}  {e.title}"
        for e in entries().values()
        if e.code[0] == "E" and Notice(e.code, e.title).exit_code == exit_code
    ]
    body = "\n".join(filter(None, (_REMARKS.get(exit_code), *codes)))
    title = f"Exit code {exit_code}: {EXIT_CODES[exit_code]}."
    return f"{title}\n\n{body}" if body else title
