/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What this processor can do, and which tier of kernels is used because of it.
 */
#pragma once

#include "compute/cpu/kernels.h"

struct cpu_features {
    char name[128]; /* "AMD EPYC 9354 32-Core Processor" */
    bool avx2;      /* AVX2, FMA and F16C, and the system saves their registers */
    bool avxvnni;   /* AVX-VNNI beside these */
    bool avx512;    /* AVX-512 F, BW, VL, DQ likewise */
    bool vnni;      /* AVX-512 VNNI */
    bool bf16;      /* AVX-512 BF16 */
    bool amx;       /* AMX bf16 beside AVX-512 VNNI and BF16, and the system lets this process use its tiles */
};

void cpu_features_read(struct cpu_features *out);

/* The best tier that this processor runs, or the one that the environment variable PAGEREEL_CPU names ("generic", "avx2",
 * "avxvnni", "avx512", "amx"). PR_ERR_INVALID: no such tier; PR_ERR_UNSUPPORTED: this processor hasn't got it. */
int cpu_choose_kernels(const struct cpu_features *features, const struct cpu_kernels **out);

/* Fills the lines of `pagereel devices`. */
void cpu_describe_features(const struct cpu_features *features, const struct cpu_kernels *kernels,
                           struct device_info *info);
