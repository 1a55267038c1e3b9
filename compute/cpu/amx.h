/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tier "amx": that of AVX-512, with products of many tokens in tiles of bf16.
 */
#pragma once

#include <stdbool.h>

/* Asks the system for the tile registers of this process. false: it doesn't give them. */
bool cpu_amx_permit(void);
