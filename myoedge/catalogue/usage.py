# SPDX-License-Identifier: Apache-2.0
"""Codes of exit code 2: arguments, samples, files and folders."""

PARAGRAPHS = """\
E200 The command line is not understood.
A verb, an option or a value is wrong, or something is missing. `myoedge --help` lists the verbs,
`myoedge VERB --help` its options.

E201 There is no such target.
The message lists the chips that are known. "host" is any computer: no memory limits.

E202 No model is named.
Name the file on the command line or as [model] path in myoedge.toml; `myoedge init` writes one.

E203 An option that decides how ranges are observed is out of bounds.
The method is minmax, percentile or mse; the percentile is more than 50 and at most 100, and goes
with the method of that name; at least one sample is needed.

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
the cause names the line. A torch.export archive or an ONNX model holds its network and needs none.

E207 The output of the network cannot be decoded.
--ctc BLANK puts greedy CTC behind the output, which has to be [frames, batch, classes] or [frames,
classes], and BLANK one of its classes; negative numbers count from the last. [model] vote
needs the same, and no --ctc beside it.

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
leave such windows out. A mask hides with -1e9 as well as with minus infinity.

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

E225 A label is not a class of the network.
Labels are counted as the values of the first output are, from 0. Where they start at 1, or stand
for no class (-1, say), accuracy would be measured against answers that the network cannot give.
Subtract what they start from, and leave out windows without a class. A network that tells no
classes apart needs no labels: SQNR says what int8 costs it.

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

E237 A stream is not measured with a meter.
`bench --meter` runs the same inference over and over. Frames of a stream compute nothing until
there are enough for a pass: measure a build without --stream, or the board with frames that come in
at their rate.

E238 The filters in front of the network cannot be.
[conditioning] in myoedge.toml needs rate_hz, samples a second, and band_hz, two edges between 0 and
half of it, or notch_hz. The network must have one input, along one axis of which is time.

E239 A state of the stream is not one.
[stream] states names an input and the output that it will be in the next pass. They must be what
recurrent layers of one step begin with and what these leave, in the same places, and nothing else
may read them: the message says what does, or which names there are.

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

E254 The build takes no frames, or nothing else.
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
"""
