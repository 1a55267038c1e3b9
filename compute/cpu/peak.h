/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "compute/cpu/kernels.h"

/* What n threads reach with these kernels' instructions. The caller holds the pool. PR_ERR_NOMEM: there is no memory to read. */
int cpu_measure(const struct cpu_kernels *kernels, int n_threads, struct device_speed *out);
