# SPDX-License-Identifier: Apache-2.0
"""Import of PyTorch networks: archives of torch.export, without torch where their calls allow, and
programs in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.export import count_parameters, example_inputs, from_exported, from_file
from myoedge.frontend.torch.load import load_exported
from myoedge.frontend.torch.program import NeedsTorch
from myoedge.frontend.torch.program_file import read_program
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImportedProgram:
    """A network of PyTorch.

    params     number of parameters on which its outputs depend
    examples   the example inputs it was exported with; None without
    """

    graph: Graph
    params: int
    examples: tuple[Array, ...] | None


def import_archive(path: Path) -> ImportedProgram:
    """Import a torch.export archive; nothing in it is executed or unpickled by this reader.

    torch is loaded only for what is not in the table of known calls (known_moves, known_layers).
    Errors: those of load_exported and from_exported; E501 if the archive needs torch, which is not
    installed.
    """
    try:
        program = read_program(path)
        graph, params = from_file(program), count_parameters(program)
    except NeedsTorch as needed:
        return import_program(load_exported(path, because=str(needed)))
    except MyoedgeError:
        raise
    # of a crafted file, an operator's import row may raise anything; torch names what is wrong
    except Exception as error:
        because = f"{type(error).__name__}: {error}"
        return import_program(load_exported(path, because=because))
    return ImportedProgram(graph, params, program.example_inputs)


def import_program(program: torch.export.ExportedProgram) -> ImportedProgram:
    """Import a program in memory. Errors: as from_exported."""
    return ImportedProgram(
        from_exported(program), count_parameters(program), example_inputs(program)
    )
