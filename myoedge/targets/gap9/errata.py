# SPDX-License-Identifier: Apache-2.0
"""Instructions that GAP9 firmware must not contain, because the chip and its simulators differ on
them.

Functions that test for such a difference may contain them.
"""

from __future__ import annotations

from myoedge.targets.program import Erratum

NO_FLOAT = "no float at run time; GVSoC computes it in the integer registers, silicon differs"
SHUFFLE = "GVSoC and silicon differ in which operand comes first, or in the immediate"
ROUNDING = "silicon needs an instruction before the new rounding mode counts; GVSoC does not"


def _float(name: str, opcode: str) -> Erratum:
    return Erratum(name, f"------- ----- ----- --- ----- {opcode}", NO_FLOAT)


FORBIDDEN = (
    Erratum("pv.shuffle2.h", "110010- ----- ----- 000 ----- 1010111", SHUFFLE),
    Erratum(
        "pv.shuffle2.b",
        "110010- ----- ----- 001 ----- 1010111",
        SHUFFLE,
        asked_by=("me_interleave_columns", "me_scatter_words", "me_turn_columns"),
    ),
    Erratum("pv.shuffle.sci.h", "110000- ----- ----- 110 ----- 1010111", SHUFFLE),
    _float("flw", "0000111"),
    _float("fsw", "0100111"),
    _float("fmadd", "1000011"),
    _float("fmsub", "1000111"),
    _float("fnmsub", "1001011"),
    _float("fnmadd", "1001111"),
    _float("an operation on floats", "1010011"),
    # 10 in the highest bits of opcode OP, except p.extract ... p.bset, which have 1000000.
    *(
        Erratum("a vector of small floats", f"10{bits} ----- ----- --- ----- 0110011", NO_FLOAT)
        for bits in ("1----", "01---", "001--", "0001-", "00001")
    ),
    Erratum("c.flw", "011 --- --- -- --- 00", NO_FLOAT),
    Erratum("c.fsw", "111 --- --- -- --- 00", NO_FLOAT),
    Erratum("c.flwsp", "011 - ----- ----- 10", NO_FLOAT),
    Erratum("c.fswsp", "111 ------ ----- 10", NO_FLOAT),
    *(
        Erratum(f"a write to {name}", f"{csr} ----- {kind} ----- 1110011", ROUNDING)
        for name, csr in (("frm", "000000000010"), ("fcsr", "000000000011"))
        for kind in ("-01", "-10", "-11")
    ),
)
