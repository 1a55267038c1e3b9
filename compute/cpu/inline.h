/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For kernels, whose parts must be specialised to constant arguments and kept in registers.
 */
#pragma once

#define INLINE static inline __attribute__((always_inline))

/* A statement of its own before a loop of constant length whose array must live in registers. */
#define UNROLL _Pragma("GCC unroll 16")
