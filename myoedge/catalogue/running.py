# SPDX-License-Identifier: Apache-2.0
"""Codes of exit codes 3 to 7 and 70 (fit, tools, boards, faults, bugs), and of warnings."""

PARAGRAPHS = """\
E301 The network does not fit the chip's memory.
Weights, activations, inputs and outputs are streamed from L3 where L2 cannot hold them all; the
operands of a few tiles must fit at a time, and all operands of a layer without tiles. The message
has the limit, the largest buffers, and the layers that would stream more with more L1. Fewer
channels, pooling earlier or shorter windows help; --target host builds anyway, to see the rest of
the report.

E302 The build is over a budget.
Limits come from [budget] in myoedge.toml and from --l1, --l2 and --l3. Memories are planned to fit
them; latency and energy are those of the simulated inference at the end of the build (estimated
with --no-simulate), at the operating point; SQNR is a lower bound. The message lists every exceeded
budget and the most expensive layers; where a memory is too small, the other budgets are checked by
estimated cycles with all of the chip's memory. Nothing was written. Change the network or the
budget.

E303 The program does not fit the chip's memory.
Code, weights, activations and the buffers of inputs and outputs share L2. The data alone may fit:
then code and constants exceed the rest. Fewer layers or channels help.

E304 A layer has no tile that fits the L1 budget.
The smallest tile of this layer exceeds the L1 that --l1 or [budget] leaves besides stacks and
runtime; the message has the largest operand. With a budget this is an error: without one, the layer
is computed in L2, slowly, with a warning (W301).

E305 A sweep is worse than an earlier one.
With --against every result that was valid before is compared by name: a figure that is worse than
[bounds] allow, or a refused or missing result, ends with this error. The tables are written. See
sweep.html, then fix the regression or compare with the new results from now on.

E307 Nothing in a sweep could be built.
Every result was refused: over budget, or its model is unusable. The tables have the error of each;
`myoedge build` with the same options prints it in full.

E401 Simulated outputs differ from the reference.
The simulated program gave other bytes than the NumPy reference, at the end of a build or in a
sweep, which must not happen. No build folder was written: build with --no-simulate, then `myoedge
validate --on simulator` names the first layer that differs. It is a bug of myoedge.

E306 The stream does not fit the chip's L2.
Frames of a pass and states are in L2, states twice: as read and as written by a pass. Weights and
activations can be streamed from L3, these cannot. Fewer frames in a pass, fewer channels or shorter
kernels along time help.

E501 A program or a package is missing or does not start.
`myoedge doctor` lists tools and how to install missing ones. torch is needed for PyTorch models
(pip install 'myoedge[torch]'), a C compiler to run the generated code (one comes as ziglang).
GVSoC, which is optional, is searched in the folder GVSOC_HOME, else as gvsoc on PATH.

E502 A program did not finish in time.
It was ended, with its child processes. A machine under heavy load is the usual cause.

E503 A worker of a sweep has ended.
A process was killed, perhaps for lack of memory; or no Dask scheduler answers at that address, or a
task has ended several workers. Finished results are stored: the same command again computes the
others. Fewer processes (--jobs) need less memory.

E601 No board is connected, or several are.
The console is looked for among the serial ports of USB devices with the ids of the board's probe. A
probe often has two: --port names the right one.

E602 The board's description lacks a part.
board.toml has no entry for the console, the probe, or a flasher. Copy the file, add the entry, and
pass it: --board ./my/board.toml

E603 A serial port does not open.
It does not exist, another program uses it, or permission is missing (on Linux: group dialout).

E604 The board, or the meter, does not answer.
The port opened, but nothing was received. The application may be missing, may have been built to
print instead of serving the line, or another port of the probe is the console.

E605 The answer of the board, or the meter, is not valid.
Bytes were received several times, without a message of correct CRC. Different baud rates are the
usual cause, or the output of another program.

E606 The board runs another program.
Its application reports another build, so its results would be meaningless.

E607 The serial line to the board broke.
The board was unplugged or switched off during a request. No file was written.

E608 The board refuses the request.
If the network did not run: the SDK starts cluster tasks on another core than 8, which app.c checks.

E609 An OpenOCD command failed, or OpenOCD ended.
The message has its output. An unplugged board, a probe in use by another program, or scripts for
another OpenOCD are the usual causes.

E610 The chip at the probe is not the board's.
Its JTAG IDCODE differs from board.toml. Nothing was written to it.

E611 Memory differs from the written data.
Memory was read back after writing, and differs. The program was not started; the flash contents are
incomplete. The usual cause is the cable, or too fast a clock.

E612 The flasher does not answer.
It was started on the board and did not become ready. Reset the board and try again; the flash may
hold an incomplete image.

E613 The program is not one for this board.
`flash` needs the program that the SDK compiled from gap_sdk/ of this build, linked to the chip's
memory: its chip and digest are compared before anything is written.

E614 The meter's record does not match the run.
Inferences are detected by the board's power pad at the meter's D0, which must rise once for each.
Samples are numbered, and none may be missing.

W601 The simulators' program was written to a board.
firmware.elf uses the chip's registers directly, without SDK. It has never run on silicon.

E701 The simulated program met an illegal instruction.
The cores run RV32IMC and Xpulpv2, without floating point. A jump through a wrong pointer, code that
was overwritten, or a program compiled for another chip end this way. The message names core, pc,
function, source line, cycle and registers.

E702 The simulated program accessed an unmapped address.
Neither L1, L2 nor a register is at that address. The cores cannot address the off-chip memory: it
is read through its own DMA.

E703 The simulated program jumped out of its code.
Instructions come from L2, at even addresses.

E704 The simulated program used a register that is not simulated.
It does not exist, or not for accesses of that size, or it belongs to a part of the chip that the
simulator does not have.

E705 The simulated program misused the DMA.
A length of 0 or above 128 KiB, an id that was never allocated, 2D on the L1 side, addresses outside
L1 and L2; or a core accessed bytes of a pending transfer, a race on the chip. Wait for the transfer
first.

E706 A stack of the simulated program overflowed.
A core wrote into the last bytes of its stack. Move arrays out of functions, or enlarge the stacks.

E707 The simulated program is deadlocked.
Every core sleeps and no pending event can wake one: a barrier that a core never reaches, an event
that is never sent, or one that is masked.

E708 The simulated program did not end in time.
It reached the cycle limit. --max-cycles raises the limit; --window shows what it executes.

E709 The simulated program raised an unhandled exception.
An ebreak that is no semihosting call, an ecall, or an interrupt: the simulator takes none.

E710 The firmware wrote a file of the wrong size.
output.bin and cycles.bin must hold the results of all inputs. Build again.

E711 The firmware returned an error.
src/firmware/exit_codes.h lists the exit codes. 101 is a stack overflow.

E712 The computer has no memory left for the records of a simulated run.
Record less: a shorter --window, no --profile.

E900 A bug in myoedge.
Neither your model nor your command is the cause. The message names a file with the details: please
report it, with that file and, if possible, the model.

E910 C of the package or generated by it does not compile: a bug in myoedge.
The C of a build compiles without a warning, always. Please report it with src/ and the compiler's
message. If the files were edited by hand, build again.

E911 The generated C reported a failure: a bug in myoedge.
me_run must return 0. Please report it with the build folder.

E912 The generated C does not compile for the chip: a bug in myoedge.
The message has the compiler's output. A compiler of your own (--cc) may be too old, or not one for
RISC-V at all. Otherwise please report it, with the model.

E920 An internal graph is invalid: a bug in myoedge.
The graph is checked before and after every stage, so that a fault is found where it arises. The
message names the stage, the tensor and the rule. Please report it, with the model or the part of it
that shows it.

E930 The program contains a forbidden instruction: a bug in myoedge.
Chip and simulators differ in some instructions. Generated code and its runtime avoid them, so the
compiler has emitted one. Please report it, with the message.

W101 A layer is dead.
Its output was the same for every calibration sample: a ReLU whose inputs are all negative, or
weights that are zero. It carries no information, and wastes memory. Calibrate with samples of every
class; if it stays, look for a dying ReLU in training.

W102 A layer has a low SQNR of its own in int8.
Its own rounding leaves less than 12 dB; typical layers have 30 to 45 dB. 256 steps do not represent
few large values beside many small ones, and a softmax over hundreds of positions has probabilities
below its step of 1/256. A mask in front of a maximum is best filled with a number just below the
smallest maximum. Check the accuracy, clip outliers (--method percentile), or change the layer.

W103 A fill value dominates the int8 range.
A fill of -10,000 or less, or of 10,000 or more, marks masked values, as in front of a softmax,
where it costs nothing. In any other layer it is in the range of the tensor, and the other values
share few of its 256 steps. Fill with a number just beyond the other values: a maximum over them is
the same.

W301 A layer is computed in L2, as no tile of it fits.
Cores reach L1 in a cycle and L2 in fifteen, so layers are computed in L1 in tiles. The smallest
tile of this one exceeds the L1 besides stacks and runtime; the message has the largest operand, or
states that L2 cannot hold its constants. It works, slowly: allow more L1 or L2, or use a smaller
kernel or fewer channels.

W302 The stream does not run in real time.
Frames arrive faster than they are computed, at this operating point: in the simulated first pass at
the end of the build, or by the estimate where nothing was simulated. Weights in L3 are streamed
once a pass: more frames per pass cost less each, but add latency. [stream] rate without frames
chooses the fewest that run in real time.

W303 Cycles are estimated, as simulating an inference takes long.
A build ends by simulating one inference, up to 300 M estimated cycles, which is about a minute.
This network takes more: cycles, latency, energy and [budget] are of the estimate. --simulate
simulates it all the same, `myoedge simulate` does it later, --no-simulate skips it without this
notice. --strict does not turn it into an error.

W304 Cycles are estimated, as the simulator cannot be compiled.
The simulator is C that is compiled for this computer once. The compiler is missing or rejects it;
the cause is in the message. The rest of the build is complete. `myoedge doctor` lists the
compilers.

W201 All calibration values of an input are the same.
Ranges of such data mean nothing, so int8 will be wrong for real windows. Calibrate with real
recordings. A mask input that never masks is an example: calibrate with windows in which it does.

W202 The accuracy is not measured.
The samples have labels, but the output has several axes and no softmax at its end, so that its
classes could lie along any of them; or it is a list of symbols. With a label for every frame,
[samples, frames], the axis follows from their number.

W203 No layer of the older build is reused.
--reuse takes scales and integers of an older build for layers with unchanged weights. Here all
weights differ: it may be the build of another network, or training changed all layers.
"""
