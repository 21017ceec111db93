# SPDX-License-Identifier: Apache-2.0
"""Codes of exit code 1: problems of a model file."""

PARAGRAPHS = """\
E101 The model file is missing or cannot be read.
Paths on the command line are relative to the current folder, those in myoedge.toml to that file's
folder. Check the name and the permissions.

E102 A folder is given where a model file is needed.
Name the file itself: a torch.export archive (.pt2), an ONNX model, or weights with --factory.

E103 The file is not a network that myoedge reads.
The type is detected by content, never by extension; the message has the type found. TorchScript and
pickled modules contain code or lack shapes, other formats are not supported yet. Load the model in
the framework it came from and save it as a torch.export archive; the message has the Python code.

E104 The file is damaged.
It is truncated, its parts are inconsistent, or it declares more data than it has. An incomplete
copy or download is the usual cause. Save or copy the model again.

E105 The file is empty.
The program that wrote it may have been stopped, or its disk was full. Save the model again.

E106 The file holds only weights, and their network is unknown.
A state dict has parameters, not the computation. Give a function that returns the network,
--factory pkg.mod:make_model; it is imported from the current folder. Or export model and weights
together with torch.export.save.

E107 The archive cannot be loaded safely.
torch.export.load unpickles and evaluates parts of an archive, so a crafted one runs its author's
code. Archives are inspected first: this one would run code, or has a member that torch.export.save
does not write. Nothing in it was run. Export the model again where it was trained, without custom
objects. Do not load such a file with torch either, unless you trust whoever made it.

E108 The archive is intact, but this torch cannot read it.
It comes from another release of torch, or was exported on a GPU. The operator set of exports
changes with every release, so myoedge requires one release. Export again with the torch that
`myoedge doctor` shows, after model.cpu().eval().

E109 The weights do not fit the network, or the file holds no weights.
Names or sizes differ from the factory's network, so that some layers would keep random values.
Prefixes such as "state_dict", "module." and "model." have been removed already. Let the factory
build the network that was trained, with the same arguments. In a torch.export archive, weights must
match the graph's inputs and its calls their recorded results; export it again if they do not.

E110 The model has dynamic shapes.
Firmware has fixed buffers: every size must be known when it is built. Export without
dynamic_shapes= or dynamic_axes=, with an example input of the size that the device sees. A dynamic
batch axis of an ONNX model is set to 1; for other axes the message has a tool's command.

E111 The network uses an unsupported operator.
The message lists every unsupported operator, its module path and source line, and a replacement.
`myoedge ops` lists supported operators; docs/ops.md has details. Preprocessing can often move to
the host, in front of the network.

E112 A weight is NaN or infinite.
It affects every output that depends on it, and has no range. The training run has diverged or the
checkpoint is damaged: use an earlier one, or lower the learning rate. Minus infinity in a mask that
is added to scores in front of a softmax is allowed, in a buffer of the module; the message lists
other readers of such a buffer.

E113 The model was exported in training mode.
Dropout would be active and batch norm would use the statistics of the batch, which a device does
not have. Call model.eval() before torch.export.export(...).

E114 The network modifies its own state.
A buffer is written while the network runs, so the same input would give another output the next
time. Take the old state as an input and return the new one as an output.

E115 An output does not depend on any input.
It is constant, so there is nothing to compute on the device. Remove it from the results of
forward().

E116 An input is not floating point.
Inputs are real numbers that the host quantises to int8; indices and booleans cannot be quantised.
Convert them in front of the network, for example to one-hot vectors.

E117 An accumulator could overflow 32 bits.
Accumulators must not overflow for the layer's weights and bias at the worst possible input; here
one could. Usually an output sums very many products. Use smaller kernels, fewer channels or groups
in this layer.

E118 The network cannot be exported.
torch.export runs the network once with example inputs, and that failed: either forward() raises for
inputs of these shapes, or its control flow depends on values or it changes weights (max-norm),
which export does not support. The cause is torch's. Check that model(*example) and
torch.export.export(model, example) run in Python.

E119 The ONNX model is invalid.
onnx.checker or shape inference rejects it, and the message has the reason: nodes out of order,
undefined or duplicate tensor names, unknown attributes, inconsistent shapes. Export the model
again, or ask the tool that edited it.

E120 The ONNX model's opset is not supported.
Opset 13 (2020) and later are supported, up to the latest of the installed onnx package.
onnx.version_converter converts older models, as the message shows; newer ones need a newer onnx
package.

E121 The ONNX model's external weights cannot be used.
Weights must be in files in the model's folder: a path out of it, by "..", from the root, or through
a link, is not followed. The message names the tensor. A missing file may not have been copied.
onnx.load and onnx.save write a single file.

E122 The network computes nothing.
Every output is an input, possibly reshaped, so there is nothing to build. Usually the wrong module
was exported, or layers were replaced by nn.Identity.

E131 The network cannot run on a stream.
With --stream a frame is computed from itself and from frames before it. A layer that pads behind
the last frame, runs backwards, or takes an average, a softmax or attention over all frames needs
future frames; the message names it and its line. Pad in front only, or let [stream] past and future
run the whole network on windows: outputs are delayed by the future. Causal attention is refused as
well: its past keys and values are not stored. A network that classifies whole windows is built
without --stream.
"""
