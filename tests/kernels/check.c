/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lays a case out on each device, runs it, and compares what it wrote with the definition; or measures it.
 */
#include "tests/kernels/harness.h"

#include "base/mem.h"
#include "compute/pass.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { GUARD = 512, MAX_SHOWN = 3 };
static const uint32_t POISON = 0x7fc17fc1; /* NaN as f32 and as two f16, far out of range as an integer */

/* ---- a case laid out on a device ---------------------------------------------------------------------------------------- */

/* Guarded memory on a device, with the bytes that it held before the run. */
struct guarded {
    struct buffer *buffer;
    uint8_t *before, *after;
    size_t size;
};

struct layout {
    struct pass *pass; /* owns the operation and its tensors */
    struct op *op;
    struct device *device;
    struct guarded arena, states[OP_SLOTS];
    struct tensor weights[OP_SLOTS];       /* WEIGHT operands */
    struct tensor state_tensors[OP_SLOTS]; /* STATE operands */
    uint8_t *weight_memory[OP_SLOTS];
    struct tensor *sources[OP_SLOTS];
};

static void poison(uint8_t *memory, size_t size)
{
    for (size_t i = 0; i < size; i += 4)
        memcpy(memory + i, &POISON, 4);
}

static int guarded_create(struct guarded *g, struct device *device, size_t size)
{
    g->size = base_align(size, 4);
    g->before = base_alloc(g->size);
    g->after = base_alloc(g->size);
    poison(g->before, g->size);
    return compute_buffer_create(device, g->size, &g->buffer);
}

static void guarded_destroy(struct guarded *g)
{
    compute_buffer_destroy(g->buffer);
    base_free(g->before);
    base_free(g->after);
}

/* A weight in poisoned host memory, 32 bytes off alignment as GGUF may have it, brought to the device. */
static int add_weight(struct layout *l, struct device *host, int slot, const struct operand *o)
{
    size_t bytes = kernel_operand_bytes(o), size = base_align(bytes + 2 * GUARD + 32, 64);
    l->weight_memory[slot] = base_try_alloc(size, 1);
    if (!l->weight_memory[slot])
        return base_fail(PR_ERR_NOMEM, "the test has no memory for a weight");
    poison(l->weight_memory[slot], size);
    memcpy(l->weight_memory[slot] + GUARD + 32, o->data, bytes);
    struct tensor *t = &l->weights[slot];
    *t =
        (struct tensor){.role = TENSOR_WEIGHT, .type = o->type, .rows = o->rows, .cols = o->cols, .offset = GUARD + 32};
    snprintf(t->name, sizeof t->name, "weight %d", slot);
    int err = compute_buffer_wrap(host, l->weight_memory[slot], size, &t->buffer);
    if (err == PR_OK)
        err = compute_tensor_place(l->device, t);
    l->sources[slot] = t;
    return err;
}

static int add_state(struct layout *l, int slot, const struct operand *o)
{
    size_t bytes = kernel_operand_bytes(o);
    struct tensor *t = &l->state_tensors[slot];
    int err = guarded_create(&l->states[slot], l->device, bytes + 2 * GUARD);
    if (err < 0)
        return err;
    memcpy(l->states[slot].before + GUARD, o->data, bytes);
    *t = (struct tensor){.role = TENSOR_STATE, .type = o->type, .rows = o->rows, .cols = o->cols, .offset = GUARD};
    t->buffer = l->states[slot].buffer;
    snprintf(t->name, sizeof t->name, "state %d", slot);
    l->sources[slot] = t;
    return compute_buffer_write(t->buffer, 0, l->states[slot].before, l->states[slot].size);
}

static struct tensor *record(struct pass *pass, const struct kernel_case *c, struct tensor **src)
{
    const struct op *p = &c->params;
    switch (c->kind) {
    case OP_matmul:
        return op_matmul(pass, src[0], src[1], src[2]);
    case OP_gather:
        return op_gather(pass, src[0], src[1]);
    case OP_scatter:
        return op_scatter(pass, src[0], src[1], src[2]);
    case OP_add:
        return op_add(pass, src[0], src[1]);
    case OP_mul:
        return op_mul(pass, src[0], src[1]);
    case OP_scale:
        return op_scale(pass, src[0], p->factor);
    case OP_softcap:
        return op_softcap(pass, src[0], p->factor);
    case OP_activate:
        return op_activate(pass, src[0], p->activation);
    case OP_glu:
        return op_glu(pass, src[0], src[1], p->activation);
    case OP_rms_norm:
        return op_rms_norm(pass, src[0], src[1], p->eps);
    case OP_layer_norm:
        return op_layer_norm(pass, src[0], src[1], src[2], p->eps);
    case OP_rope:
        return op_rope(pass, src[0], src[1], src[2], &p->rope);
    case OP_attention:
        return op_attention(pass, src[0], src[1], src[2], src[3], src[4], &p->attention);
    case OP_patches:
        return op_patches(pass, src[0], &p->patches);
    case OP_resample:
        return op_resample(pass, src[0], &p->resample);
    case OP_convert:
        return op_convert(pass, src[0], c->convert_to);
    case OP_copy:
    case OP_COUNT:
        break;
    }
    return NULL;
}

/* Puts a tensor into the arena behind a guard. Offsets are multiples of 64 and of nothing more. */
static size_t put(size_t at, struct tensor *t)
{
    t->offset = base_align(at + GUARD, 128) + 64;
    return t->offset + compute_tensor_bytes(t);
}

static int lay_out_arena(struct layout *l, const struct kernel_case *c)
{
    struct op *op = l->op;
    size_t end = 0;
    for (int s = 0; s < OP_SLOTS; s++)
        if (c->operands[s].data && c->operands[s].role == TENSOR_INPUT)
            end = put(end, l->sources[s]);
    if (op->dst->role == TENSOR_ACTIVATION)
        end = put(end, op->dst);
    op->scratch_size = l->device->backend->scratch ? l->device->backend->scratch(l->device, op) : 0;
    op->scratch_offset = base_align(end + GUARD, 64);
    int err = guarded_create(&l->arena, l->device, op->scratch_offset + op->scratch_size + GUARD);
    if (err < 0)
        return err;
    for (int s = 0; s < OP_SLOTS; s++) {
        if (!c->operands[s].data || c->operands[s].role != TENSOR_INPUT)
            continue;
        l->sources[s]->buffer = l->arena.buffer;
        memcpy(l->arena.before + l->sources[s]->offset, c->operands[s].data, kernel_operand_bytes(&c->operands[s]));
    }
    if (op->dst->role == TENSOR_ACTIVATION)
        op->dst->buffer = l->arena.buffer;
    return compute_buffer_write(l->arena.buffer, 0, l->arena.before, l->arena.size);
}

/* PR_MORE: the device doesn't support it. */
static int layout_create(struct layout *l, struct device *host, struct device *device, const struct kernel_case *c)
{
    *l = (struct layout){.device = device};
    l->pass = compute_pass_create((struct device *[]){device, host}, 2);
    int err = PR_OK;
    for (int s = 0; s < OP_SLOTS && err == PR_OK; s++) {
        const struct operand *o = &c->operands[s];
        if (!o->data)
            continue;
        if (o->role == TENSOR_WEIGHT)
            err = add_weight(l, host, s, o);
        else if (o->role == TENSOR_STATE)
            err = add_state(l, s, o);
        else
            l->sources[s] = compute_pass_input(l->pass, o->type, o->rows, o->cols, "input");
    }
    if (err < 0)
        return err;
    record(l->pass, c, l->sources);
    if (l->pass->error)
        return base_fail(l->pass->error, "%s", l->pass->message);
    l->op = l->pass->ops[0];
    l->op->device = device;
    if (c->operands[KERNEL_ADDEND].data) {
        l->op->addend = l->sources[KERNEL_ADDEND];
        if (!device->backend->fuses || !device->backend->fuses(device, l->op))
            return PR_MORE;
    }
    if (device->backend->supports && !device->backend->supports(device, l->op))
        return PR_MORE;
    return lay_out_arena(l, c);
}

static void layout_destroy(struct layout *l)
{
    guarded_destroy(&l->arena);
    for (int s = 0; s < OP_SLOTS; s++) {
        guarded_destroy(&l->states[s]);
        if (l->weights[s].buffer) {
            compute_tensor_unplace(&l->weights[s]);
            compute_buffer_destroy(l->weights[s].buffer);
        }
        base_free(l->weight_memory[s]);
    }
    compute_pass_destroy(l->pass);
}

static int run_ops(struct layout *l, int times, double *seconds)
{
    struct op **ops = base_alloc_array((size_t)times, sizeof(struct op *));
    for (int i = 0; i < times; i++)
        ops[i] = l->op;
    l->op->barrier = times > 1;
    struct part part = {.device = l->device, .ops = ops, .n_ops = times, .arena = l->arena.buffer};
    const struct backend *backend = l->device->backend;
    int err = backend->prepare ? backend->prepare(&part) : PR_OK;
    double total = 0;
    for (int i = 0; err == PR_OK && i < (seconds ? 10 : 1) && total < 0.5; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        err = backend->run(&part, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double took = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
        total += took;
        if (seconds && (i == 0 || took / times < *seconds))
            *seconds = took / times;
    }
    if (backend->discard)
        backend->discard(&part);
    base_free(ops);
    return err;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------ */

/* Bytes that must be as before: all but [skip, skip + skip_size) and [skip2, skip2 + skip2_size). */
static bool unchanged(const struct guarded *g, size_t skip, size_t skip_size, size_t skip2, size_t skip2_size,
                      char *message, size_t message_size, const char *what)
{
    for (size_t i = 0; i < g->size; i++) {
        if ((i >= skip && i < skip + skip_size) || (i >= skip2 && i < skip2 + skip2_size) ||
            g->before[i] == g->after[i])
            continue;
        snprintf(message, message_size,
                 "wrote outside its result: byte %zu of the %s, the result being bytes %zu to %zu", i, what, skip,
                 skip + skip_size);
        return false;
    }
    return true;
}

static int read_back(struct layout *l)
{
    int err = compute_buffer_read(l->arena.buffer, 0, l->arena.after, l->arena.size);
    for (int s = 0; s < OP_SLOTS && err == PR_OK; s++)
        if (l->states[s].buffer)
            err = compute_buffer_read(l->states[s].buffer, 0, l->states[s].after, l->states[s].size);
    return err;
}

/* The bytes of the result. */
static const uint8_t *result_of(const struct layout *l)
{
    if (l->op->dst->role == TENSOR_ACTIVATION)
        return l->arena.after + l->op->dst->offset;
    for (int s = 0; s < OP_SLOTS; s++)
        if (l->states[s].buffer && l->states[s].buffer == l->op->dst->buffer)
            return l->states[s].after + GUARD;
    return NULL;
}

static bool guards_are_whole(const struct layout *l, const struct kernel_case *c, char *message, size_t size)
{
    const struct op *op = l->op;
    size_t bytes = compute_tensor_bytes(op->dst);
    bool in_arena = op->dst->role == TENSOR_ACTIVATION;
    if (!unchanged(&l->arena, op->dst->offset, in_arena ? bytes : 0, op->scratch_offset, op->scratch_size, message,
                   size, "arena"))
        return false;
    for (int s = 0; s < OP_SLOTS; s++) {
        if (!l->states[s].buffer)
            continue;
        bool is_result = l->states[s].buffer == op->dst->buffer;
        if (!unchanged(&l->states[s], GUARD, is_result ? bytes : 0, 0, 0, message, size, "state"))
            return false;
    }
    for (int s = 0; s < OP_SLOTS; s++) {
        if (l->weight_memory[s] &&
            memcmp(l->weight_memory[s] + GUARD + 32, c->operands[s].data, kernel_operand_bytes(&c->operands[s]))) {
            snprintf(message, size, "changed its weight %d", s);
            return false;
        }
    }
    return true;
}

static bool within_bounds(const struct kernel_case *c, const struct tensor *dst, const uint8_t *want_bytes,
                          const uint8_t *got_bytes, char *message, size_t size)
{
    int64_t n = dst->rows * dst->cols;
    float *want = base_alloc_array((size_t)n, sizeof *want), *got = base_alloc_array((size_t)n, sizeof *got);
    ref_dequantize(dst->type, want_bytes, want, n);
    ref_dequantize(dst->type, got_bytes, got, n);
    double squares = 0, errors = 0;
    bool good = true;
    for (int64_t i = 0; i < n && good; i++) {
        double w = want[i], g = got[i], bound = c->absolute + c->relative * fabs(w);
        if (c->magnitude)
            bound += c->unit * c->magnitude[i];
        squares += isfinite(w) ? w * w : 0;
        errors += isfinite(w) && isfinite(g) ? (g - w) * (g - w) : 0;
        bool same = isnan(w) ? isnan(g) : isinf(w) ? g == w : fabs(g - w) <= bound;
        if (!same) {
            snprintf(message, size, "element [%lld, %lld]: expected %.9g, got %.9g (bound %.3g, off by %.3g)",
                     (long long)(i / dst->cols), (long long)(i % dst->cols), w, g, bound, fabs(g - w));
            good = false;
        }
    }
    if (good && c->nmse > 0 && errors > c->nmse * squares) {
        snprintf(message, size, "NMSE %.3g is above %.3g", errors / squares, c->nmse);
        good = false;
    }
    base_free(want);
    base_free(got);
    return good;
}

/* ---- one case on all devices -------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct kernels *t, const char *device, const char *label)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s %s", op_name(t->current), device, label);
    for (int i = 0; i < t->n_filters; i++)
        if (!strstr(text, t->filters[i]))
            return false;
    return true;
}

void kernel_report(struct kernels *t, int device, const char *label, const char *message)
{
    struct tally *tally = &t->tallies[t->current][device];
    tally->cases++;
    tally->failures += message != NULL;
    const char *id = t->devices[device]->info.id;
    if (message && !t->quiet && tally->failures <= MAX_SHOWN)
        print_error("%s on %s: %s: %s\n", op_name(t->current), id, label, message);
    else if (t->verbose)
        print_message("%s on %s: %s: %s\n", op_name(t->current), id, label, message ? "failed" : "ok");
}

/* Reports what a run on device d has done; err: how it went. */
static void judge(struct kernels *t, int d, const struct kernel_case *c, const struct layout *l, int err,
                  const uint8_t *want)
{
    char message[400];
    if (err < 0)
        snprintf(message, sizeof message, "%s: %s", pr_error_name(err), pr_error_message());
    bool good = err == PR_OK && guards_are_whole(l, c, message, sizeof message) &&
                within_bounds(c, l->op->dst, want, result_of(l), message, sizeof message);
    kernel_report(t, d, c->label, good ? NULL : message);
}

static int lay_out_and_run(struct layout *l, struct kernels *t, struct device *device, const struct kernel_case *c)
{
    int err = layout_create(l, t->ref, device, c);
    if (err == PR_OK)
        err = run_ops(l, 1, NULL);
    return err == PR_OK ? read_back(l) : err;
}

static void check_everywhere(struct kernels *t, const struct kernel_case *c)
{
    struct layout definition;
    int err = lay_out_and_run(&definition, t, t->ref, c);
    for (int d = 0; d < t->n_devices; d++) {
        struct layout l;
        if (!is_wanted(t, t->devices[d]->info.id, c->label))
            continue;
        if (err < 0 || t->devices[d]->backend == t->ref->backend) {
            judge(t, d, c, &definition, err, err < 0 ? NULL : result_of(&definition));
            continue;
        }
        int device_err = lay_out_and_run(&l, t, t->devices[d], c);
        if (device_err == PR_MORE)
            t->tallies[t->current][d].unsupported++;
        else
            judge(t, d, c, &l, device_err, result_of(&definition));
        layout_destroy(&l);
    }
    layout_destroy(&definition);
}

static void measure_on(struct kernels *t, int d, const struct kernel_case *c)
{
    struct layout l;
    double seconds = 0;
    int err = layout_create(&l, t->ref, t->devices[d], c);
    if (err == PR_OK)
        err = run_ops(&l, 1, &seconds);
    if (err == PR_OK && seconds < 0.02) /* many in one part: what starting a part costs is not the kernel's */
        err = run_ops(&l, seconds < 0.00002 ? 1000 : (int)(0.02 / seconds), &seconds);
    if (err == PR_OK) {
        print_message("%-10s %-10s %-48s %10.1f us", op_name(c->kind), t->devices[d]->info.id, c->label, seconds * 1e6);
        if (c->bytes > 0)
            print_message(" %8.2f GB/s", c->bytes / seconds * 1e-9);
        if (c->flops > 0)
            print_message(" %8.2f GFLOP/s", c->flops / seconds * 1e-9);
        print_message("\n");
    } else if (err < 0) {
        print_error("%s on %s: %s: %s\n", op_name(c->kind), t->devices[d]->info.id, c->label, pr_error_message());
    }
    layout_destroy(&l);
}

bool kernel_wanted(const struct kernels *t, const struct kernel_case *c)
{
    if (t->bench ? !c->bench && !c->bench_only : c->bench_only)
        return false;
    for (int d = 0; d < t->n_devices; d++)
        if (is_wanted(t, t->devices[d]->info.id, c->label))
            return true;
    return false;
}

void kernel_check(struct kernels *t, struct kernel_case *c)
{
    if (kernel_wanted(t, c)) {
        if (!t->bench)
            check_everywhere(t, c);
        for (int d = 0; d < t->n_devices && t->bench; d++)
            if (is_wanted(t, t->devices[d]->info.id, c->label))
                measure_on(t, d, c);
    }
    kernel_finish(c);
}
