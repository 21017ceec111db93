# SPDX-License-Identifier: Apache-2.0
"""Codes of exit code 2: arguments, samples, files and folders."""

PARAGRAPHS = """\
E200 The command line is wrong.
A verb, an option or a value is unknown or missing. `myoedge --help` lists the verbs, `myoedge VERB
--help` its options.

E201 The target is unknown.
The message lists the known chips. "host" is any computer: no memory limits.

E202 No model is given.
Give the file on the command line or as [model] path in myoedge.toml; `myoedge init` writes one.

E203 A calibration option is out of bounds.
The method is minmax, percentile or mse; the percentile is more than 50 and at most 100, and goes
with the method of that name; at least one sample is needed.

E204 The value of an option is unknown.
--on lists backends: host, the generated C on this computer (only validate); simulator, the firmware
on the simulated chip; gvsoc, where one is installed. --operating-point is high, low, auto or a
clock between them, --like silicon or public-gvsoc. Only the simulator records a trace.

E205 The input shape of a checkpoint's network is unknown.
Weights do not determine the length of a window. Give calibration data, --calib calib.npz, or let
the factory return (model, example_inputs).

E206 The factory cannot be used.
--factory names a function as pkg.mod:make_model. It was not found, takes arguments, raised an
error, or returned something that is not a torch module. It is imported from the folder you are in;
the cause names the line. A torch.export archive or an ONNX model holds its network and needs none.

E207 The output of the network cannot be decoded.
--ctc BLANK adds greedy CTC at the output, which has to be [frames, batch, classes] or [frames,
classes], and BLANK one of its classes; negative numbers count from the last. [model] vote needs the
same, and no --ctc beside it.

E208 The code is unknown.
Codes are E or W and three digits, as in error[E213]. The first digit is the exit code.

E210 A file of samples is missing.
It holds windows for calibration or for --input. Make it from real recordings, cut and filtered as
for the network: some hundred windows of every class.

E211 A file of samples is not a readable npz or npy file.
np.savez("calib.npz", input=windows) writes one. CSV, MAT and HDF5 files have to be read and written
again.

E212 The arrays are not named as the model's inputs.
`myoedge inspect MODEL` shows the names. A model with a single input may call it "input"; class
numbers may stand beside it as "label".

E213 An array does not have the shape of the model's input.
The first axis counts samples, the others are the input's own; where the input's first axis is 1, it
may be left out. `myoedge inspect MODEL` shows the shapes. Mind the order of electrodes and time.

E214 An array has the wrong type.
Inputs are real numbers (float32 or integers), labels are class numbers, and run(..., raw=True)
takes the integer types in network.h. Objects, strings and complex numbers are refused.

E215 There are no samples.
The file or array is empty. Ranges are observed on samples, so at least one is needed; some hundred
are good.

E216 A sample holds NaN or infinite values.
It would determine the range of every layer. Lost packets of a recording are often NaN: remove such
windows. A mask may use -1e9 in place of minus infinity.

E217 The file holds pickled arrays.
Reading those could run code, so they are refused. Save arrays of plain numbers: np.savez(...,
input=np.asarray(windows, dtype=np.float32)).

E218 The arrays have different numbers of samples.
Inputs and labels belong together sample by sample, so their first axes must be equal.

E219 Calibration data are missing.
The int8 ranges of all tensors are observed on samples. Give --calib, or [calib] data in
myoedge.toml, or export with example inputs as a provisional solution. "--calib random" is for a
first build; its accuracy means nothing.

E220 A folder cannot be used.
It is missing, read-only, owned by another user, or a file. Choose another one, for a build with -o.

E221 The output folder holds other files.
A build replaces its folder as a whole, so the folder must be new, empty, or an earlier build
without foreign files and without edited C. Choose another folder with -o, or move the files.

E222 The folder is no complete build.
validate and report need a folder that `myoedge build` wrote, with all files unchanged, except the
C, which may be edited as long as it compiles. Give its folder; the default is the newest one below
build/. Build again where files are missing or changed.

E223 A file that init writes exists already.
init never overwrites. Rename the file, or name another folder.

E224 A layer gives NaN or infinity for a calibration sample.
No range holds such a value. The logarithm or root of something negative, a division by zero or an
exponential of something large are the usual causes: clamp in front of it, log(x.clamp(min=1e-6)),
and look at that sample.

E225 A label is not a class of the network.
Labels are counted as the values of the first output are, from 0. Where they start at 1, or mark
windows without a class (such as -1), accuracy would be measured against impossible answers.
Subtract the offset, and remove windows without a class. A network that is no classifier needs no
labels: its int8 error is measured as SQNR.

E226 A softmax reads scores that something hides, and it is no mask.
Scores of one row are 1,000 and more apart, which no network computes: a fill or an input of -1e9 is
among them, and import cannot see it as a mask. int8 has no room for both. Fill right in front of
the softmax, by masked_fill with a buffer, or give the mask as an input of ones and zeros and add
(1 - kept) * -1e4.

E227 A mask holds other numbers than 0 and 1.
An input that scores get 50 times and more of is taken as a mask: 1 where a key is, 0 elsewhere. A
sample has something between. Give ones and zeros; a bias, which is no mask, is to have its size on
the host.

E228 A fill that is to hide keys is within reach of scores.
Fills that lie 50 and more below the rest of their row hide keys exactly. Here the scores of a
sample come so low that torch would give filled keys a share. Fill with -1e4, or with minus
infinity.

E230 myoedge.toml has an unknown key.
A mistyped key would be ignored silently, so it is an error. The message lists the known keys and
the most similar one.

E231 The configuration cannot be read.
The file is not there or is not TOML; the cause names the line. `myoedge init` writes a good start.

E232 A value in the configuration is wrong.
Sizes are text such as "900 KiB", latencies such as "20 ms" with their unit, percentiles lie above
50 and up to 100, counts are at least 1.

E233 A [quant] pattern matches no layer.
Patterns are module paths, with * for any part: "head.*". The message lists the paths of this
network; a typing error would otherwise leave a layer as it was.

E234 A budget is set that cannot be judged.
A target without a clock has neither latency nor energy. A limit that is never checked would look as
if it were met: remove it from [budget].

E235 Several axes of the input could be time.
The network computes equally along each of them, so the time axis cannot be inferred. Set it in
myoedge.toml: [stream] axis counts from 0, the batch axis included.

E236 A pass of the stream is not a whole number of frames.
Convolutions and pooling with strides along time make one frame of several, so a pass must be a
multiple of the product of all strides; the message has the next one. On windows, past and future
must leave frames for outputs, and can be times ("900 ms") only with a rate.

E237 A stream is not measured with a meter.
`bench --meter` runs the same inference over and over. Frames of a stream compute nothing until
there are enough for a pass: measure a build without --stream, or the board with frames that come in
at their rate.

E238 The [conditioning] filters are impossible.
[conditioning] in myoedge.toml needs rate_hz, samples a second, and band_hz, two edges between 0 and
half of it, notch_hz, or zscore_s with deviation. The network must have one input, along one axis
of which is time.

E239 An input and an output of the stream are not a state.
[stream] states maps an input to the output that becomes it in the next pass. They must be initial
and final states of recurrent layers of one step, element by element, without other readers: the
message lists the readers, or the names of inputs and outputs.

E240 A build has no firmware or no application.
A build for a target without a chip (--target host) has no firmware: build it for gap9. What is
written to a board is an application of the GAP SDK: build it with --app gap-sdk.

E241 A file is no program for this chip.
`simulate --elf` takes 32-bit little-endian RISC-V ELF files, linked for GAP9's register map.

E242 A program is outside the chip's memory.
All its segments must be in L1 (128 KiB at 0x10000000) or L2 (1.5 MiB + 64 KiB at 0x1C000000), and
it must start at an even address of L2.

E243 A memory dump is outside L1 and L2.
--dump takes ADDRESS:SIZE within L1 or L2, as 0x1C170000:64KiB.

E250 Measurements of energy cannot be read.
`energy calibrate` takes a CSV file: in every row a build's folder (relative to the file) or "idle",
the operating point, and energy_uj of an inference or power_mw while it runs. The counters of a
build are those of its last `myoedge simulate`.

E251 The energy calibration on this computer cannot be read.
The file of `energy calibrate` is damaged, or from another version. Calibrate again, or delete it:
then the published coefficients hold.

E252 The description of a board is wrong.
A board.toml names the chip, its memories, probe, console and power pad; docs/boards.md lists every
key. All problems are listed at once, by key. Unknown parts are omitted, nothing is assumed.

E253 The board is unknown.
`myoedge boards` lists the known boards. A board of your own is a file: --board ./my/board.toml

E254 The build takes no frames, or only frames.
push and reset are for builds with --stream, which have states. Other builds run the network on a
whole sample: run.

E260 The file of a sweep cannot be used.
It is TOML with at least one [[model]] (path, calib, factory, name); [[budget]] and [[options]] have
names, and the keys of [budget], and method, percentile, samples and quant; operating_points,
simulate, target and [bounds] apply to all. Paths are relative to the file.

E261 The argument of --against is no sweep.
--against takes the folder of an earlier sweep, or its sweep.json.

E280 A folder holds no C.
src/ of a build folder has been emptied or moved. Build again.

E281 The disk is full.
Nothing was changed: an earlier build is intact. Free some space; MYOEDGE_CACHE names another folder
for compiled libraries.
"""
