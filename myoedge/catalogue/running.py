# SPDX-License-Identifier: Apache-2.0
"""Codes of exit codes 3 to 7 and 70 (fit, tools, boards, faults, bugs), and of warnings."""

PARAGRAPHS = """\
E301 The network does not fit the chip's memory.
Weights, activations, inputs and outputs come from L3 in parts where the second-level memory (L2)
has no room for all of them; what a few tiles of a layer need has to fit at a time, and all that a
layer without tiles reads and writes. The message says what there is, which buffers are the largest,
and which layers would leave more in L3 if they had more of L1. Fewer channels, pooling earlier or
shorter windows help; --target host builds anyway, to see the rest of the report.

E302 The build is over a budget.
Limits come from [budget] in myoedge.toml and from --l1, --l2 and --l3. Memories are planned to fit
them; latency and energy are those of the simulated inference at the end of the build (estimated
with --no-simulate), at the operating point; SQNR is a lower bound. The message names every budget
that is broken, and the layers that cost most; where a memory is too small the others are judged by
estimated cycles with all that the chip has of it. Nothing was written. Change the network or the
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

E307 Nothing in a sweep could be built.
Every result was refused: over its budget, or its model cannot be used. The tables are written, and
name the error of each; `myoedge build` with the same options tells it in full.

E401 Simulated outputs are not the reference's.
The simulated program gave other bytes than the NumPy reference, at the end of a build or in a
sweep, which must not happen. No build folder was written: build with --no-simulate, then `myoedge
validate --on simulator` names the first layer that differs. It is a bug of myoedge.

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
The exit code says which: src/firmware/exit_codes.h lists them. 101 is a stack that overflowed.

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
has shares below its step of 1/256. A mask in front of a maximum is best filled with a number just
below what the maximum gives. Look at the accuracy, clip outliers (--method percentile), or change
the layer.

W103 A number far from all others takes int8's range.
A fill of -10,000 or less, or of 10,000 or more, stands for "not there", as masks have it in front
of a softmax, where it costs nothing. Any other layer has to tell it from all other values, with 256
steps for both. Fill with a number just beyond what is there: a largest value over what is left is
the same.

W301 A layer is computed in L2, as no tile of it fits.
Cores reach L1 in a cycle and L2 in fifteen, so layers are computed in L1 in tiles. The smallest
tile of this one is larger than what stacks and runtime leave of L1; the message says which operand
takes most, or that L2 has no room for its constants. It works, slowly: give it more L1, or L2, or
make its kernel or its channels smaller.

W302 The stream does not keep up.
Frames come faster than they are computed, at this operating point: in the simulated first pass at
the end of the build, or by the estimate where nothing was simulated. Weights that come from L3 come
once a pass: more frames in a pass make each of them cheaper, and the first of them waits longer.
[stream] rate without frames takes as few as keep up.

W303 Cycles are estimated, as simulating an inference takes long.
A build ends by simulating one inference, up to 300 M estimated cycles, which is about a minute.
This network takes more: cycles, latency, energy and [budget] are of the estimate. --simulate
simulates it all the same, `myoedge simulate` does it later, --no-simulate leaves it out without
this notice. It is no warning that --strict makes an error of.

W304 Cycles are estimated, as the simulator cannot be compiled.
The simulator is C that is compiled for this computer once. The compiler is missing or rejects it;
the cause is in the message. Everything else of the build is whole. `myoedge doctor` shows what is
there.

W201 All calibration values of an input are the same.
Ranges seen on such data mean nothing, so int8 will be wrong for real windows. Calibrate with real
recordings. A mask that never hides anything is such an input: a softmax behind it would keep 5 to
10 dB where it hides; calibrate with windows in which it does.

W202 The accuracy is not measured.
The samples have labels, but the output has several axes and no softmax at its end, so that its
classes could lie along any of them; or it is a list of symbols. With a label for every frame,
[samples, frames], the axis follows from their number.

W203 Nothing of the older build is in this network.
--reuse keeps what an older build chose for layers whose weights stayed. Here no layer with weights
is as it was: it may be the build of another network, or a training that moved them all.
"""
