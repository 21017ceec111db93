# SPDX-License-Identifier: Apache-2.0
"""Conversion of exceptions raised by functions of plug-ins to E257."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from myoedge.errors import MyoedgeError

P = ParamSpec("P")
R = TypeVar("R")


def with_plugin_errors(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap an API function so that exceptions raised by a plug-in's functions become E257."""

    @functools.wraps(verb)
    def wrapped(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return verb(*arguments, **named)
        except (MyoedgeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            plugins = sys.modules.get("myoedge.building.plugins")  # imported only to load plug-ins
            in_plugin = plugins.error_in_plugin(error) if plugins else None
            if in_plugin is None:
                raise
            raise in_plugin from error

    return wrapped
