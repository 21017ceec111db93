# SPDX-License-Identifier: Apache-2.0
"""C functions of recurrent layers: each is one of the library's bodies, made for a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import FREE
from myoedge.operators.recurrent.quantized import ScaledParams
from myoedge.targets.chip import Engine

DECLARED = """\
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef {guard}_H
#define {guard}_H

#include "me_recurrent.h"

typedef me_recurrent_params {name}_params;
typedef {tile} {name}_tile;

/* {text} */
void {name}(const {name}_params *op, const {name}_tile *tile);

#endif
"""
DEFINED = """\
/* SPDX-License-Identifier: Apache-2.0 */
#include "{name}.h"

#include "{header}"

void {name}(const {name}_params *op, const {name}_tile *tile)
{{
    {body}_run(op, tile, (me_cell){{ {fields} }});
}}
"""


@dataclass(frozen=True, slots=True)
class Body:
    """C body that runs the tiles of layers: by where their weights are and what multiplies them.

    name     of the C function, without "_run", and of the row of its cost
    prefix, suffix   of the kernels' names around that of the cell
    header   that has it
    tile     type of its tiles
    """

    name: str
    prefix: str = "me_"
    suffix: str = ""
    header: str = "me_recurrent_steps.h"
    tile: str = "me_recurrent_tile"


WHOLE = Body("me_recurrent")
STREAMED = Body("me_recurrent_streamed", suffix="_streamed", tile="me_recurrent_streamed_tile")
ON_NE16 = Body("me_ne16_recurrent", "me_ne16_", header="me_ne16_recurrent_steps.h")


def c_kernel(step: QuantizedNode, body: Body, engine: Engine) -> dict[str, Any]:
    """Return the fields of a TiledKernel with the name, the text and the cost of its C function,
    which has the gates and the width of the layer's cell as constants."""
    cell, wide = step.node.op.split("_")[0], step.weight_type == INT16
    form = "unsigned_" if body is ON_NE16 else "wide_" if wide else ""
    scaled = "scaled_" if isinstance(step.integers, ScaledParams) else ""
    is_early = bool(step.attrs.get("reset_first"))
    work = f"me_{cell}_{'renew_' if is_early else scaled}{form}units"
    fields = {"gates": step.shapes[0][-1] // step.out[-1], "wide": int(wide), "work": work}
    fields |= {"reset": f"me_{cell}_reset_{form}units"} if is_early else {}
    early = "_reset_first" if is_early else ""
    scaled = scaled and "_scaled"
    name = f"{body.prefix}{cell}{early}{body.suffix}{scaled}_s{step.weight_type.bits}"
    texts = {
        "name": name,
        "guard": name.upper(),
        "tile": body.tile,
        "header": body.header,
        "body": body.name,
        "text": f"{body.name}_run of cells whose units {work} runs",
        "fields": ", ".join(f".{key} = {value}" for key, value in fields.items()),
    }
    return {
        "function": name,
        "sources": {f"{name}.h": DECLARED.format(**texts), f"{name}.c": DEFINED.format(**texts)},
        "cost": engine.kernels.get(body.name, FREE),
    }
