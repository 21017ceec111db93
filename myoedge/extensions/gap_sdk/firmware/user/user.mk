# SPDX-License-Identifier: Apache-2.0
# Yours: a rebuild keeps all files of this folder. Makefile (SDK 4.x) includes this one before the
# SDK's rules; C files beside it are compiled too.
#   APP_CFLAGS += -DMY_PINS=1
