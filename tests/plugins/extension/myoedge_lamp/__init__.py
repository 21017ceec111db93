# SPDX-License-Identifier: Apache-2.0
"""An extension "lamp": an application, its project and its table, a part of the firmware and its
section and panel of reports, a command, a format of sample files, a backend, a step and a tool."""

from myoedge.extension import (
    ApplicationHook,
    BackendHook,
    CommandHook,
    Extension,
    PanelHook,
    PartHook,
    ProjectHook,
    ReaderHook,
    SectionHook,
    StepHook,
    TableHook,
    ToolHook,
)

EXTENSION = Extension(
    commands=(CommandHook("lamp", "tell the lamp's pin", "myoedge_lamp.lamp:lamp", after="flash"),),
    tables=(TableHook("lamp", "myoedge_lamp.lamp:LampTable", "myoedge_lamp.lamp:rules"),),
    applications=(
        ApplicationHook("lamp", ", with a lamp", "myoedge_lamp.lamp:requested", project="lamp"),
    ),
    projects=(ProjectHook("lamp", "myoedge_lamp.project:files", 1024, "make POINT={}"),),
    parts=(PartHook("lamp", "myoedge_lamp.blink:requested", "myoedge_lamp.blink:restored"),),
    sections=(
        SectionHook(
            "lamp",
            "lamp",
            "myoedge_lamp.blink:line",
            "The lamp",
            "It blinks after each inference.",
            "myoedge_lamp.blink:table",
        ),
    ),
    panels=(PanelHook("lamp", "myoedge_lamp.blink:panel"),),
    readers=(ReaderHook("lamp", (".lamp",), "myoedge_lamp.lamp:read_lamp", (b"LAMP",)),),
    backends=(
        BackendHook("lamp", "lamp", "myoedge_lamp.backend:LAMP", is_listed=True, after="gvsoc"),
    ),
    steps=(StepHook("lamp", "myoedge_lamp.project:step", after="flash"),),
    tools=(ToolHook("lamp", "myoedge_lamp.backend:tool", after="cmake"),),
)
