# SPDX-License-Identifier: Apache-2.0
# Yours: a rebuild keeps all files of this folder. CMakeLists.txt includes this one at its end, before
# the SDK's rules; C files beside it are compiled too. ${PROJECT_NAME} is the application's target.
#   target_compile_definitions(${PROJECT_NAME} PRIVATE MY_PINS=1)
