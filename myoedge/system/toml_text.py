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


def layer_pattern(path: str) -> str:
    """Return a pattern of [quant] and [engine] that matches a module path. A character that
    settings may not have is "?", which matches any one."""
    return "".join("?" if is_refused(x) else x for x in glob.escape(path))


def layer_key(path: str) -> str:
    """Return the key of [quant] and [engine] for a layer: its pattern as TOML."""
    return toml_text(layer_pattern(path))
