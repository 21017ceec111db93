# SPDX-License-Identifier: Apache-2.0
"""Documents against the schemas of the package, in which every key must be described."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from myoedge.catalogue import schemas

FILES = ("report", "manifest", "graph", "plan", "stream", "sensor")  # of a build folder


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not describe: users' schemas leave it, so that
    keys may be added."""
    if isinstance(schema, list):
        return [*map(closed, schema)]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


@functools.cache
def validators() -> Mapping[str, Draft202012Validator]:
    """By the value of `schema`."""
    known = {name: closed(schemas.schema(name)) for name in schemas.names()}
    rows = ((name, Resource.from_contents(schema)) for name, schema in known.items())
    registry: Registry[Any] = Registry().with_resources(rows)
    return {s["title"]: Draft202012Validator(s, registry=registry) for s in known.values()}


def check(document: Any) -> str:
    """The name of the document's schema, which it meets."""
    name: str = document["schema"]
    problems = [
        f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in validators()[name].iter_errors(document)
    ]
    assert not problems, "\n".join(problems[:5])
    return name


def check_folder(folder: Path) -> set[str]:
    """The names of the schemas of a build folder's files, all of which are met."""
    paths = (folder / f"{name}.json" for name in FILES)
    texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
    return {check(json.loads(text)) for text in texts}
