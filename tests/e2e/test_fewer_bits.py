# SPDX-License-Identifier: Apache-2.0
"""Refusals of recurrent weights that already have few bits name fewer: of 5 to 7 bits, the cores
store 8. Oracle: builds with the bits that are named, and with one more."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.errors import MyoedgeError
from tests.e2e.test_plans_by_bytes import built
from tests.support.limits import l2_with_code

LINE = '[quant] "*" = { weights = '


def refused_with(folder: Path, bits: int, kib: int, table: str) -> tuple[str, ...] | None:
    """The remedies of a build with these bits of weights; None if it builds."""
    config = folder / f"{bits}.toml"
    config.write_text(f'[quant]\n"*" = {{ weights = {bits} }}\n{table}')
    try:
        built("lstm", folder, kib, config=config)
    except MyoedgeError as error:
        return tuple(error.notice.tries)
    return None


@pytest.mark.parametrize(("kib", "table"), [(36, ""), (70, '[budget]\nexternal = "none"\n')])
def test_fewer_bits_than_the_few_that_are_set(kib: int, table: str, tmp_path: Path) -> None:
    with l2_with_code():
        tries = refused_with(tmp_path, 5, kib, table)
        assert tries is not None
        (line,) = (x for x in tries if x.startswith(LINE))
        assert tries[0] != line, "those that keep all bits come first"
        bits = int(line.removeprefix(LINE).split()[0])
        assert refused_with(tmp_path, bits, kib, table) is None
        assert bits == 4 or refused_with(tmp_path, bits + 1, kib, table)
