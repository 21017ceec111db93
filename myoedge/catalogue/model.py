# SPDX-License-Identifier: Apache-2.0
"""Codes of exit code 1: problems of a model file."""

PARAGRAPHS = """\
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
In an archive of torch.export weights are what its graph reads, and its calls give what it says of
them; export it again where they do not.

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
diverged or the checkpoint is damaged: go back to an earlier one, or lower the learning rate. Minus
infinity in what is added to scores in front of a softmax is a mask and may be there, in a buffer of
the module; where something else reads it the message names that.

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

E122 The network computes nothing.
Every output is an input, in another shape at most, so that there is nothing to build. Usually the
wrong module was exported, or layers were replaced by nn.Identity and left so.

E131 The network cannot run on a stream.
With --stream a frame is computed from itself and from frames before it. A layer that pads behind
the last frame, runs backwards, or takes an average, a softmax or attention over all frames needs
what has not come yet; the message names it and its line. Pad in front only, or let [stream] past
and future run the whole network on windows: outputs come as much later as there is future in them.
Causal attention is refused as well: its keys and values of frames before are not kept.
A network that classifies whole windows runs on one each time: build it without --stream.
"""
