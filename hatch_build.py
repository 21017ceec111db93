# SPDX-License-Identifier: Apache-2.0
"""Addresses in the package's metadata, from `address` of [tool.hatch.metadata.hooks.custom].

Empty while the repository has no public address: no URLs then, and README's links stay relative.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?\[[^\]]*\])\((?!https?://|#)")


class Addresses(MetadataHookInterface):
    """Fills `readme` and `urls` of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets the two fields that pyproject.toml calls dynamic."""
        address = self.config["address"].rstrip("/")
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        if address:
            pages = {"Documentation": "tree/main/docs", "Changes": "blob/main/CHANGELOG.md"}
            metadata["urls"] = {"Source": address} | {
                name: f"{address}/{path}" for name, path in pages.items()
            }
            readme = RELATIVE.sub(lambda found: _absolute(found[1], address), readme)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def _absolute(label: str, address: str) -> str:
    """The beginning of a link to a file of the repository; pictures themselves, not their pages."""
    return f"{label}({address}/{'raw' if label[0] == '!' else 'blob'}/main/"
