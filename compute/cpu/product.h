/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What both kinds of matrix product share. Only files that are compiled once per tier include this.
 */
#pragma once

#include "compute/cpu/kernels.h"
#include "compute/cpu/simd.h"

/* Stores VF sums of token t, rows from `row` on, with bias and addend. */
INLINE void product_store(const struct cpu_product *job, int64_t t, int64_t row, vf sum)
{
    int rows = job->m - row < VF ? (int)(job->m - row) : VF;
    if (rows <= 0)
        return;
    int64_t at = t * job->m + row;
    if (job->bias) {
        const void *bias = compute_tensor_data(job->bias);
        if (job->bias->type == TYPE_F16)
            sum += vf_load_f16_n((const uint16_t *)bias + row, rows);
        else
            sum += vf_load_n((const float *)bias + row, rows);
    }
    if (job->addend)
        sum += vf_load_n(job->addend + at, rows);
    vf_store_n(job->y + at, sum, rows);
}
