# SPDX-License-Identifier: Apache-2.0
"""An extension: the application "lamp", its table, a command and a format of sample files."""

from myoedge.extension import (
    ApplicationHook,
    CommandHook,
    Extension,
    ReaderHook,
    TableHook,
)

EXTENSION = Extension(
    commands=(CommandHook("lamp", "tell the lamp's pin", "myoedge_lamp.lamp:lamp", after="flash"),),
    tables=(TableHook("lamp", "myoedge_lamp.lamp:LampTable", "myoedge_lamp.lamp:rules"),),
    applications=(ApplicationHook("lamp", "myoedge_lamp.lamp:requested"),),
    readers=(ReaderHook("lamp", (".lamp",), "myoedge_lamp.lamp:read_lamp", (b"LAMP",)),),
)
