/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compares every kernel of every device at hand with its definition (the device "ref"), and measures it.
 *
 *     test_kernels [NAME...] [--device ID] [--filter TEXT] [--bench] [--verbose]
 *
 * tests/kernels/NAME.c holds the cases of one kernel: void test_NAME(struct kernels *t). A case is an operation with its
 * operands. The harness records it through op_NAME, so that the checks of op.c are met, then lays it out by itself: every
 * operand and the result lie between poisoned guards (NaN as f32 and as f16) in memory that is read back whole after the run.
 * Guards and operands must be as they were, and every element of the result within its bound:
 *
 *     |got - expected| <= absolute + relative * |expected| + unit * magnitude
 *
 * where magnitude is a number per element that the case derives from the arithmetic, such as the sum of the absolute values of
 * all terms. Where nmse is set, the normalised mean square error of the whole result must stay below it, too: it finds small
 * errors that are everywhere, and the bound finds large ones that are somewhere.
 */
#pragma once

#include "compute/backend.h"
#include "compute/plan.h"

enum { KERNELS_MAX_DEVICES = 16, KERNELS_MAX_FILTERS = 8 };

struct tally {
    int cases, unsupported, failures;
};

/* One run of the program. */
struct kernels {
    struct device *ref; /* the definition */
    struct device *devices[KERNELS_MAX_DEVICES];
    int n_devices;
    struct tally tallies[OP_COUNT][KERNELS_MAX_DEVICES];
    enum op_kind current;
    const char *filters[KERNELS_MAX_FILTERS]; /* texts that "KERNEL DEVICE LABEL" must contain */
    int n_filters;
    bool bench, verbose, quiet; /* quiet: failures are counted, not shown */
};

enum fill {
    FILL_NORMAL, /* about normally distributed, variance 1 */
    FILL_LARGE,  /* the same times 1e6 */
    FILL_TINY,   /* the same times 1e-39: f32 denormals and zeros */
    FILL_ZERO,   /* 0 and -0 */
    FILL_MIXED,  /* normal times 2^-20 .. 2^20 */
    FILL_OFFSET, /* normal plus 1000 */
    FILL_N
};
const char *kernel_fill_name(enum fill fill);

struct operand {
    enum tensor_role role; /* WEIGHT: placed on the device; STATE: may be changed by the kernel; INPUT: anything else */
    enum type type;
    int64_t rows, cols;
    void *data; /* NULL: absent */
};

enum { KERNEL_ADDEND = OP_MAX_SOURCES };

struct kernel_case {
    enum op_kind kind;
    char label[160];
    struct operand operands[OP_SLOTS]; /* the sources, then the addend */
    struct op params;                  /* its union is the operation's */
    enum type convert_to;
    double absolute, relative, unit;
    double *magnitude;   /* [rows * cols] of the result; freed by the harness; NULL: none */
    double nmse;         /* 0: not looked at */
    bool bench;          /* measured by --bench (then without comparison) */
    bool bench_only;     /* too large to be compared */
    double flops, bytes; /* of one run, for --bench; 0: not said */
};

/* An empty case of a kernel; the label follows printf. */
struct kernel_case kernel_case(enum op_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds an operand and returns its zeroed memory. */
void *kernel_operand(struct kernel_case *c, int slot, enum tensor_role role, enum type type, int64_t rows,
                     int64_t cols);
/* Adds an operand with pseudo-random contents, the same for the same label. For quantised types `fill` decides the scales. */
void kernel_random(struct kernel_case *c, int slot, enum tensor_role role, enum type type, int64_t rows, int64_t cols,
                   enum fill fill);
size_t kernel_operand_bytes(const struct operand *o);
/* An operand's contents as f32 [rows * cols]; the caller frees them with base_free(). */
float *kernel_values(const struct kernel_case *c, int slot);
/* Whether a case is asked for on any device; for those whose operands take long to make. */
bool kernel_wanted(const struct kernels *t, const struct kernel_case *c);
/* Runs a case on every device and frees it. */
void kernel_check(struct kernels *t, struct kernel_case *c);
void kernel_finish(struct kernel_case *c); /* frees a case that isn't checked */

/* For tests that build their own passes: a result for t->devices[device] (message NULL: passed). */
void kernel_report(struct kernels *t, int device, const char *label, const char *message);

/* Deterministic numbers: uniform in [0, 1), about normal, and integers in [0, n). */
double kernel_uniform(uint64_t *seed);
double kernel_normal(uint64_t *seed);
int64_t kernel_integer(uint64_t *seed, int64_t n);

#define KERNEL(name, sources) void test_##name(struct kernels *t);
#include "compute/kernels.def"
#undef KERNEL
