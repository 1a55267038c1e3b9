/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every fuzz target defines: tests/fuzz/NAME.c feeds `data` to one parser and returns 0. With -Dfuzz=true libFuzzer
 * calls it; otherwise replay.c runs it over the corpus in tests/fuzz/corpus/NAME.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
