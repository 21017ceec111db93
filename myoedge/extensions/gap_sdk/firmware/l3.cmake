# SPDX-License-Identifier: Apache-2.0
# Targets image_with_l3 (images of both flashes) and flash_with_l3 (writes them too), for a program
# whose weights come from L3 or MRAM; L3_FILE are the options that name l3.bin and mram.bin to gapy.
#
# SDK 5.21 has a layout with a file system in the octal flash, the usual one has none: gapy is called
# as pulp-platform's Deeploy does. Without that layout the SDK's own targets are built, with the
# option in $runner_args, which macros.cmake reads as it builds.
set(LAYOUT $ENV{GAP_SDK_HOME}/utils/layouts/default_layout_multi_readfs.json)
set(OPENOCD_TOOLS $ENV{GAP_SDK_HOME}/utils/openocd_tools)
set(BOOT $ENV{GAP_SDK_HOME}/install/target/bin)
find_program(ME_GAPY gapy HINTS $ENV{GAP_SDK_HOME}/utils/gapy_v2/bin)

set(FLASHES
    --target=gap9.evk
    --target-dir=$ENV{GAP_SDK_HOME}/utils/gapy_v2/targets
    --platform=board
    --target-property=boot.flash_device=mram
    --target-property=boot.mode=flash
    --openocd-cable=${OPENOCD_TOOLS}/tcl/gapuino_ftdi.cfg
    --openocd-script=${OPENOCD_TOOLS}/tcl/gap9revb.tcl
    --openocd-tools=${OPENOCD_TOOLS}
    --work-dir=${CMAKE_BINARY_DIR}
    --multi-flash-content=${LAYOUT}
    --flash-size=67108864
    --flash-property=${BOOT}/fsbl@mram:fsbl:binary
    --flash-property=${BOOT}/ssbl@mram:ssbl:binary
    --flash-property=$<TARGET_FILE:${PROJECT_NAME}>@mram:app:binary
    ${L3_FILE})

foreach(target image flash)
  if(EXISTS ${LAYOUT})
    set(commands image flash)
    if("${target}" STREQUAL "image")
      set(commands image)
    endif()
    set(command ${ME_GAPY} ${FLASHES} ${commands} --binary=$<TARGET_FILE:${PROJECT_NAME}>)
  else()
    set(command ${CMAKE_COMMAND} -E env "runner_args=${L3_FILE}"
        ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target ${target})
  endif()
  add_custom_target(${target}_with_l3 COMMAND ${command} DEPENDS ${PROJECT_NAME} USES_TERMINAL VERBATIM)
endforeach()
