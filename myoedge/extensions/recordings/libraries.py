# SPDX-License-Identifier: Apache-2.0
"""The libraries that read recordings: imported on first use; their errors become errors of the
file."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.quantization.recordings.reading import unreadable
from myoedge.system.tools import install_command

EXTRA = "recordings"


def library(module: str, files: str) -> Any:
    """Import a module of the extra `recordings`, such as "scipy.io".

    files   the kind of files that need it, for the message
    Errors: E501 not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        title = f"{name} is not installed: {files} files need it"
        raise MyoedgeError("E501", title, {"cause": error}, [install_command(EXTRA)]) from None


@contextmanager
def reading_of(path: Path, form: str, tries: tuple[str, ...]) -> Iterator[None]:
    """Context manager for a library that reads a file of a format: any exception becomes E211, and
    its warnings and log lines are not printed."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MyoedgeError:
        raise
    except Exception as error:  # a library may raise anything on a damaged file
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        cause = "it ends before its data" if isinstance(error, NameError) else cause  # scipy's WAV
        raise unreadable(path, f"as {form}: {cause}", tries) from None
    finally:
        logging.disable(level)
