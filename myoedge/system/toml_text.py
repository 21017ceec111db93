# SPDX-License-Identifier: Apache-2.0
"""Texts as TOML, in lines of myoedge.toml that messages print and files have."""

from __future__ import annotations

import glob
import json

from myoedge.system.control_characters import is_refused


def toml_text(text: str) -> str:
    """Return a text as a TOML string, quoted and escaped, with characters that can be printed."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(x if x.isprintable() else f"\\U{ord(x):08x}" for x in quoted)


def exact_pattern(name: str) -> str:
    """Return a pattern that matches the name of a layer or file. A character that settings may not
    have is "?", which matches any one."""
    return "".join("?" if is_refused(x) else x for x in glob.escape(name))


def layer_key(path: str) -> str:
    """Return the key of [quant] and [engine] for a layer: its pattern as TOML."""
    return toml_text(exact_pattern(path))
