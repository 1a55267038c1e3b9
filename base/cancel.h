/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A flag by which one thread (or a signal handler) asks another to stop. Every long call takes one; NULL means that the
 * call can't be stopped.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct base_cancel {
    atomic_bool requested; /* zero-initialised: not requested. Setting it is async-signal-safe. */
};

static inline bool base_cancelled(const struct base_cancel *cancel)
{
    return cancel && atomic_load_explicit(&cancel->requested, memory_order_relaxed);
}
