/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Inside of a pass, shared by op.c (records), pass.c (runs), pass_plan.c and what it calls: pass_fuse.c, pass_order.c,
 * pass_arena.c.
 */
#pragma once

#include "compute/backend.h"
#include "compute/pass.h"

enum { PASS_MAX_DEVICES = 4 };

/* A tensor that the pass made: an input, an activation, a view or a copy for another device. */
struct value {
    struct tensor tensor; /* first: a tensor pointer of the pass is a value pointer */
    bool output;
    /* Set by the planner, of values that aren't views: */
    struct device *device; /* where it lies; NULL: nothing uses it */
    int written;           /* the last operation so far that wrote it, while operations are walked; -1: none */
    int part;              /* the part of that operation */
    int version;           /* how often it was overwritten in place so far */
    int first, last;       /* groups between which its memory is taken, both included */
    void *host;            /* of inputs and outputs: where the host finds it */
};

/* A COPY: done by the host before a part runs. */
struct move {
    struct tensor *to, *from;
    int from_part, from_out; /* the part_io that brought `from` to the host; -1: it lies where the host can touch it */
    void *to_host;           /* resolved once all parts are prepared */
    const void *from_host;
    size_t size;
};

struct planned_part {
    struct part part;
    int first; /* number of its first operation in the pass */
    struct move *moves;
    int n_moves;
};

struct pass {
    struct device *devices[PASS_MAX_DEVICES];
    int n_devices;
    struct value **values; /* by tensor.index */
    int n_values, cap_values;
    struct op **ops;
    int n_ops, cap_ops;
    int error; /* the first wrong call; PR_OK: none */
    char message[1024];
    bool planned;

    struct planned_part *parts;
    int n_parts;
    int *groups; /* of each operation: those with one number may run at the same time; ascending */
    struct buffer *arenas[PASS_MAX_DEVICES]; /* NULL where none is needed */
    size_t arena_sizes[PASS_MAX_DEVICES];
    struct pass_cost cost;
};

/* Keeps the first error of recording. */
void compute_pass_refuse(struct pass *pass, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A new tensor without an operation. Shapes were checked. */
struct tensor *compute_pass_add_value(struct pass *pass, enum tensor_role role, enum type type, int64_t rows,
                                      int64_t cols);
/* A view of `base` (or of what that views). */
struct tensor *compute_pass_add_view(struct pass *pass, struct tensor *base, int64_t rows, int64_t cols);
struct op *compute_pass_add_op(struct pass *pass, enum op_kind kind, struct tensor *dst);

const char *op_name(enum op_kind kind);
/* "name [rows, cols] TYPE", for messages. */
void op_describe_tensor(const struct tensor *t, char out[160]);

/* The tensor whose memory it is. */
static inline struct tensor *pass_root(const struct tensor *t)
{
    return t->base ? t->base : (struct tensor *)t;
}

/* Inputs and activations only. */
static inline struct value *pass_value(const struct pass *pass, const struct tensor *t)
{
    return pass->values[t->base ? t->base->index : t->index];
}

static inline bool pass_is_value(const struct tensor *t)
{
    return t->role == TENSOR_INPUT || t->role == TENSOR_ACTIVATION;
}

/* Whether it changes memory that was there before: scatter, rope of a state. */
static inline bool op_in_place(const struct op *op)
{
    return op->dst->base != NULL;
}

/* All tensors that an operation reads: its sources and what fusion added. Slot numbers are 0..OP_SLOTS-1; NULL where absent. */
enum { OP_SLOTS = OP_MAX_SOURCES + 3 };
static inline struct tensor **op_slot(struct op *op, int slot)
{
    struct tensor **fused[] = {&op->addend, &op->gate, &op->cells};
    return slot < OP_MAX_SOURCES ? &op->src[slot] : fused[slot - OP_MAX_SOURCES];
}

/* pass_fuse.c */
void compute_pass_remove_dead(struct pass *pass);
void compute_pass_fuse(struct pass *pass); /* devices are assigned */
/* pass_order.c: sets op.barrier and pass.groups. Parts are known. */
void compute_pass_order(struct pass *pass);
/* pass_arena.c: gives every value and scratch its offset, and sets arena_sizes. Lifetimes are known. */
void compute_pass_lay_out(struct pass *pass);
