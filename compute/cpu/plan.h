/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the cpu backend runs a part: as phases with a barrier between them. A phase is either the work of thread 0 alone (steps in
 * their order) or a list of items that the threads take one by one, in any order.
 */
#pragma once

#include "compute/cpu/kernels.h"

struct cpu_plan;

/* What an operation needs of the arena while it runs: only those that are left to their definition do. What the others need
 * is the plan's own, because they share it (the rounded activations of one x). */
size_t cpu_plan_scratch(const struct op *op);

/* `kernels` and `part` outlive the plan. PR_ERR_NOMEM: its workspace, which counts as a buffer of the device. */
int cpu_plan_create(const struct part *part, const struct cpu_kernels *kernels, int n_threads, struct cpu_plan **out);
void cpu_plan_destroy(struct cpu_plan *plan); /* takes NULL */

/* Runs it on the pool, which the caller holds. PR_ERR_CANCELLED as compute_pass_run(). */
int cpu_plan_run(struct cpu_plan *plan, const struct base_cancel *cancel);
