/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From operations to phases. Operations between two hazards (op.barrier) may run at the same time, so their items share a
 * phase; what they need first (rounded activations) and last (joining slices of attention) makes phases around it. Steps too
 * small to be worth waking others run on thread 0, and neighbouring ones need no barrier between them.
 */
#include "compute/cpu/plan.h"

#include "base/mem.h"
#include "compute/pool.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum step_kind {
    STEP_ROWS,
    STEP_GATHER,
    STEP_REF,
    STEP_ANGLES,
    STEP_ROPE,
    STEP_QUANTIZE,
    STEP_SPLIT,
    STEP_PRODUCT,
    STEP_ATTENTION,
    STEP_MERGE
};

/* One operation, or a piece of its work, cut into items. */
struct step {
    enum step_kind kind;
    const struct op *op;
    int64_t n_items;
    int64_t rows, cols;  /* of an item: its share of the rectangle that the step covers */
    int32_t n_slices;    /* ATTENTION, MERGE */
    size_t place;        /* in the workspace: what one of the next four points to */
    struct cpu_act *act; /* QUANTIZE writes it, PRODUCT of quantised weights reads it */
    uint16_t *split;     /* SPLIT writes it, PRODUCT in tiles reads it */
    float *angles;       /* ANGLES writes [rows, n_rot] cosines and sines, ROPE reads them */
    float *partial;      /* ATTENTION writes its slices, MERGE reads them */
};

struct phase {
    int first, n; /* steps */
    bool serial;  /* thread 0 alone */
    int64_t n_items;
};

/* Cosines and sines are the same in every layer, so they are made once a run for each (positions, divisors, parameters). */
struct angles {
    const struct op *op; /* the first that asked for them */
    size_t place;
};

struct cpu_plan {
    const struct part *part;
    const struct cpu_kernels *kernels;
    int n_threads;
    struct step *steps;
    int n_steps, cap_steps;
    struct phase *phases;
    int n_phases, cap_phases;
    struct angles *angles;
    int n_angles;

    /* Scratch of each thread, then the angles, then what one group of operations needs, which the next one overwrites. */
    struct buffer *workspace;
    size_t thread_scratch;               /* of one thread */
    size_t lasting, shared, shared_most; /* the workspace so far: angles, of the group at hand, of the largest group */

    /* The run at hand. */
    atomic_llong *taken; /* of each phase: items that threads have taken */
    struct pool_barrier barrier;
    const struct base_cancel *cancel;
    atomic_int stop_at; /* the phase before which all threads stop */
    bool cancelled;
};

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

enum {
    SERIAL_WORK = 6000, /* element-operations that cost less than a barrier */
    FEW_TOKENS = 4,     /* so few query rows are spread over cells instead */
    SLICES = 8,
    TOKEN_STEP = 48,      /* tokens of an item are a multiple: of the tiles of both kinds of product */
    ITEM_BYTES = 1 << 19, /* of activations that an item of a product walks over again and again */
    FEW_ITEMS = 4,        /* a thread, below which a product in tiles is cut along its tokens, too */
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static bool quantized(const struct tensor *w)
{
    return cpu_packing(w->type).bits > 0;
}

static size_t act_bytes(const struct tensor *x)
{
    return (size_t)(x->rows * x->cols / 32) * sizeof(struct cpu_act);
}

/* A product whose activations and weights are split in two bf16 each. */
static bool tiled(const struct cpu_plan *plan, const struct op *op)
{
    return plan->kernels->product_tiles && op->src[0]->type != TYPE_F32 && op->dst->rows >= CPU_TILE_TOKENS;
}

static int64_t token_tiles(const struct tensor *x)
{
    return ceil_div(x->rows, CPU_TILE_TOKENS);
}

static size_t split_bytes(const struct tensor *x)
{
    return (size_t)(token_tiles(x) * cpu_tiles_across(x->cols)) * (2 * CPU_TILE_TOKENS * CPU_TILE_COLUMNS * 2);
}

/* A product whose activations are rounded to whole steps. */
static bool rounded(const struct cpu_plan *plan, const struct op *op)
{
    return plan->kernels->quantize && quantized(op->src[0]) && op->dst->rows <= CPU_FEW_TOKENS;
}

static int slices_of(const struct op *op)
{
    return op->dst->rows <= FEW_TOKENS ? SLICES : 1;
}

/* Attention whose heads are too wide for the kernels is left to its definition. */
static bool wide_heads(const struct op *op)
{
    return (op->kind == OP_attention && (op->attention.d_head > CPU_MAX_HEAD || op->attention.d_value > CPU_MAX_HEAD ||
                                         op->attention.n_head / op->attention.n_kv > CPU_ATTENTION_QUERIES)) ||
           (op->kind == OP_rope && op->rope.d_head > CPU_MAX_HEAD);
}

static bool left_to_ref(const struct op *op)
{
    return op->kind == OP_patches || op->kind == OP_resample || wide_heads(op);
}

size_t cpu_plan_scratch(const struct op *op)
{
    return left_to_ref(op) ? ref_scratch(op) : 0;
}

static size_t partial_bytes(const struct op *op)
{
    return (size_t)op->dst->rows * (size_t)op->attention.n_head * (size_t)slices_of(op) *
           (size_t)(2 + op->attention.d_value) * sizeof(float);
}

/* ---- making steps --------------------------------------------------------------------------------------------------- */

static struct step *add_step(struct cpu_plan *plan, enum step_kind kind, const struct op *op)
{
    if (plan->n_steps == plan->cap_steps) {
        plan->cap_steps = plan->cap_steps ? 2 * plan->cap_steps : 64;
        plan->steps = base_realloc(plan->steps, (size_t)plan->cap_steps * sizeof *plan->steps);
    }
    struct step *step = &plan->steps[plan->n_steps++];
    *step = (struct step){.kind = kind, .op = op, .n_items = 1};
    return step;
}

/* Room for one group of operations. */
static size_t share_workspace(struct cpu_plan *plan, size_t size)
{
    size_t place = plan->shared;
    plan->shared += base_align(size, 64);
    plan->shared_most = plan->shared > plan->shared_most ? plan->shared : plan->shared_most;
    return place;
}

/* Closes a phase of the steps since the last one. Serial phases that meet become one. */
static void add_phase(struct cpu_plan *plan, bool serial)
{
    struct phase *last = plan->n_phases ? &plan->phases[plan->n_phases - 1] : NULL;
    int first = last ? last->first + last->n : 0;
    if (first == plan->n_steps)
        return;
    if (serial && last && last->serial) {
        last->n = plan->n_steps - last->first;
        return;
    }
    if (plan->n_phases == plan->cap_phases) {
        plan->cap_phases = plan->cap_phases ? 2 * plan->cap_phases : 64;
        plan->phases = base_realloc(plan->phases, (size_t)plan->cap_phases * sizeof *plan->phases);
    }
    plan->phases[plan->n_phases++] = (struct phase){.first = first, .n = plan->n_steps - first, .serial = serial};
}

/* How much an element costs beside an addition. */
static int64_t element_cost(const struct op *op)
{
    switch (op->kind) {
    case OP_glu:
    case OP_activate:
    case OP_softcap:
        return 4;
    default:
        return 1;
    }
}

/* Cuts [rows, cols] into about `pieces` items along the rows, or along the columns of a single row where that is allowed. */
static void cut_rows(struct step *step, int64_t rows, int64_t cols, int64_t pieces, bool columns)
{
    if (rows == 1 && columns) {
        step->rows = 1;
        step->cols = ceil_div(ceil_div(cols, pieces), 64) * 64;
        step->n_items = ceil_div(cols, step->cols);
    } else {
        step->rows = ceil_div(rows, pieces);
        step->cols = cols;
        step->n_items = ceil_div(rows, step->rows);
    }
}

static int64_t pieces_for(const struct cpu_plan *plan, int64_t work)
{
    int64_t most = 4 * (int64_t)plan->n_threads;
    int64_t pieces = ceil_div(work, SERIAL_WORK);
    return pieces < most ? pieces : most;
}

static bool same_angles(const struct op *a, const struct op *b)
{
    return a->src[1] == b->src[1] && a->src[2] == b->src[2] && !memcmp(&a->rope, &b->rope, sizeof a->rope);
}

static const struct angles *angles_of(const struct cpu_plan *plan, const struct op *op)
{
    for (int i = 0; i < plan->n_angles; i++)
        if (same_angles(plan->angles[i].op, op))
            return &plan->angles[i];
    return NULL;
}

/* The steps that make all tables come first. */
static void add_angles(struct cpu_plan *plan)
{
    int64_t all_work = 0;
    plan->angles = base_alloc_array((size_t)plan->part->n_ops, sizeof *plan->angles);
    for (int i = 0; i < plan->part->n_ops; i++) {
        const struct op *op = plan->part->ops[i];
        if (op->kind != OP_rope || left_to_ref(op) || angles_of(plan, op))
            continue;
        plan->angles[plan->n_angles++] = (struct angles){op, plan->lasting};
        struct step *step = add_step(plan, STEP_ANGLES, op);
        step->place = plan->lasting;
        plan->lasting += base_align((size_t)(op->dst->rows * op->rope.n_rot) * sizeof(float), 64);
        int64_t work = 20 * op->dst->rows * op->rope.n_rot; /* a sine costs much */
        cut_rows(step, op->dst->rows, op->rope.n_rot, pieces_for(plan, work), false);
        all_work += work;
    }
    add_phase(plan, all_work <= SERIAL_WORK);
}

/* Rounds or splits the activations of the group's products that want it, each distinct x once. */
static void add_activations(struct cpu_plan *plan, int first, int end)
{
    struct op *const *ops = plan->part->ops;
    int64_t all_work = 0;
    int first_step = plan->n_steps;
    for (int i = first; i < end; i++) {
        if (ops[i]->kind != OP_matmul || !(rounded(plan, ops[i]) || tiled(plan, ops[i])))
            continue;
        const struct tensor *x = ops[i]->src[1];
        int s = first_step;
        while (s < plan->n_steps && plan->steps[s].op->src[1] != x)
            s++;
        if (s < plan->n_steps)
            continue;
        bool split = tiled(plan, ops[i]);
        struct step *step = add_step(plan, split ? STEP_SPLIT : STEP_QUANTIZE, ops[i]);
        step->place = share_workspace(plan, split ? split_bytes(x) : act_bytes(x));
        int64_t work = x->rows * x->cols;
        cut_rows(step, split ? token_tiles(x) : x->rows, x->cols, pieces_for(plan, work), false);
        all_work += work;
    }
    add_phase(plan, all_work <= SERIAL_WORK);
}

/* Where add_activations() put what a product of the same group reads. */
static size_t act_place(const struct cpu_plan *plan, const struct op *op)
{
    enum step_kind kind = tiled(plan, op) ? STEP_SPLIT : STEP_QUANTIZE;
    int s = plan->n_steps - 1;
    while (plan->steps[s].kind != kind || plan->steps[s].op->src[1] != op->src[1])
        s--;
    return plan->steps[s].place;
}

/* Tokens of an item in tiles: many, because an item prepares its weights first, but no more than its sums have room for. */
static int64_t tiled_tokens(const struct cpu_plan *plan, const struct op *op)
{
    int64_t row_items = ceil_div(op->src[0]->rows, 2 * PACK_ROWS);
    int64_t pieces = ceil_div(op->dst->rows, CPU_PIECE_TOKENS);
    while (pieces * row_items < FEW_ITEMS * plan->n_threads && op->dst->rows / (pieces + 1) >= 4 * CPU_TILE_TOKENS)
        pieces++;
    return ceil_div(ceil_div(op->dst->rows, pieces), 2 * CPU_TILE_TOKENS) * (2 * CPU_TILE_TOKENS);
}

/* An item is two groups of weight rows times `cols` tokens: as many as stay in the second-level cache. */
static void add_product(struct cpu_plan *plan, const struct op *op)
{
    const struct tensor *w = op->src[0], *x = op->src[1];
    size_t place = rounded(plan, op) || tiled(plan, op) ? act_place(plan, op) : 0;
    struct step *step = add_step(plan, STEP_PRODUCT, op);
    step->place = place;
    int64_t pieces = ceil_div(x->rows * x->cols * (int64_t)sizeof(float), ITEM_BYTES);
    pieces = pieces * CPU_PIECE_TOKENS < x->rows ? ceil_div(x->rows, CPU_PIECE_TOKENS) : pieces;
    step->cols = ceil_div(ceil_div(x->rows, pieces), TOKEN_STEP) * TOKEN_STEP;
    if (tiled(plan, op))
        step->cols = tiled_tokens(plan, op);
    step->rows = 2 * PACK_ROWS;
    step->n_items = ceil_div(w->rows, step->rows) * ceil_div(x->rows, step->cols);
}

static void add_attention(struct cpu_plan *plan, const struct op *op)
{
    const struct attention_params *p = &op->attention;
    struct step *step = add_step(plan, STEP_ATTENTION, op);
    step->n_slices = slices_of(op);
    if (step->n_slices > 1)
        step->place = share_workspace(plan, partial_bytes(op));
    int64_t queries = CPU_ATTENTION_QUERIES / (p->n_head / p->n_kv);
    step->rows = queries < op->dst->rows ? queries : op->dst->rows;
    if (step->n_slices > 1) /* spread the tokens too */
        step->rows = 1;
    step->n_items = ceil_div(op->dst->rows, step->rows) * p->n_kv * step->n_slices;
}

/* The step of any other operation. */
static void add_rows(struct cpu_plan *plan, const struct op *op)
{
    const struct tensor *over = op->kind == OP_scatter ? op->src[1] : op->dst;
    bool columns = op->kind == OP_add || op->kind == OP_mul || op->kind == OP_scale || op->kind == OP_softcap ||
                   op->kind == OP_activate || op->kind == OP_glu;
    enum step_kind kind = op->kind == OP_gather ? STEP_GATHER : op->kind == OP_rope ? STEP_ROPE : STEP_ROWS;
    struct step *step = add_step(plan, kind, op);
    step->place = kind == STEP_ROPE ? angles_of(plan, op)->place : 0;
    cut_rows(step, over->rows, over->cols, pieces_for(plan, over->rows * over->cols * element_cost(op)), columns);
}

/* Joins the slices of the group's attentions. */
static void add_merge(struct cpu_plan *plan, int first_step)
{
    int64_t all_work = 0;
    for (int s = first_step, end = plan->n_steps; s < end; s++) {
        const struct step attention = plan->steps[s];
        if (attention.kind != STEP_ATTENTION || attention.n_slices == 1)
            continue;
        struct step *step = add_step(plan, STEP_MERGE, attention.op);
        step->n_slices = attention.n_slices;
        step->place = attention.place;
        cut_rows(step, attention.op->dst->rows, attention.op->dst->cols, plan->n_threads, false);
        all_work += attention.op->dst->rows * attention.op->dst->cols * attention.n_slices / 8;
    }
    add_phase(plan, all_work <= SERIAL_WORK);
}

static int64_t op_work(const struct op *op)
{
    switch (op->kind) {
    case OP_matmul:
        return op->src[0]->rows * op->src[0]->cols * op->dst->rows / 16;
    case OP_attention:
        return SERIAL_WORK + 1;
    case OP_scatter:
        return op->src[1]->rows * op->src[1]->cols;
    default:
        return op->dst->rows * op->dst->cols * element_cost(op);
    }
}

/* Operations first .. end - 1 have no hazard between them. */
static void add_group(struct cpu_plan *plan, int first, int end)
{
    int64_t work = 0;
    plan->shared = 0;
    add_activations(plan, first, end);
    int first_step = plan->n_steps;
    for (int i = first; i < end; i++) {
        const struct op *op = plan->part->ops[i];
        if (left_to_ref(op))
            add_step(plan, STEP_REF, op);
        else if (op->kind == OP_matmul)
            add_product(plan, op);
        else if (op->kind == OP_attention)
            add_attention(plan, op);
        else
            add_rows(plan, op);
        work += op_work(op);
    }
    add_phase(plan, work <= SERIAL_WORK);
    add_merge(plan, first_step);
}

static size_t thread_scratch_for(const struct op *op)
{
    if (left_to_ref(op))
        return 0;
    if (op->kind == OP_matmul)
        return cpu_product_scratch(op->src[0]);
    return op->kind == OP_attention ? cpu_attention_scratch(&op->attention) : 0;
}

/* Points the steps to their places once the workspace is there. */
static void resolve_places(struct cpu_plan *plan)
{
    char *lasting = (char *)plan->workspace->host + (size_t)plan->n_threads * plan->thread_scratch;
    char *shared = lasting + plan->lasting;
    for (int i = 0; i < plan->n_steps; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind == STEP_ANGLES || step->kind == STEP_ROPE)
            step->angles = (float *)(lasting + step->place);
        else if (step->kind == STEP_SPLIT || (step->kind == STEP_PRODUCT && tiled(plan, step->op)))
            step->split = (uint16_t *)(shared + step->place);
        else if (step->kind == STEP_QUANTIZE || (step->kind == STEP_PRODUCT && rounded(plan, step->op)))
            step->act = (struct cpu_act *)(shared + step->place);
        else if (step->kind == STEP_ATTENTION || step->kind == STEP_MERGE)
            step->partial = (float *)(shared + step->place);
    }
}

int cpu_plan_create(const struct part *part, const struct cpu_kernels *kernels, int n_threads, struct cpu_plan **out)
{
    int err;
    struct cpu_plan *plan = base_alloc(sizeof *plan);
    plan->part = part;
    plan->kernels = kernels;
    plan->n_threads = n_threads;
    add_angles(plan);
    for (int first = 0, end; first < part->n_ops; first = end) {
        end = first + 1;
        while (end < part->n_ops && !part->ops[end]->barrier)
            end++;
        add_group(plan, first, end);
    }
    for (int i = 0; i < part->n_ops; i++) {
        size_t size = base_align(thread_scratch_for(part->ops[i]), 4096);
        plan->thread_scratch = size > plan->thread_scratch ? size : plan->thread_scratch;
    }
    size_t size = (size_t)n_threads * plan->thread_scratch + plan->lasting + plan->shared_most;
    TRY(compute_buffer_create(part->device, size ? size : 1, &plan->workspace));
    resolve_places(plan);
    for (int i = 0; i < plan->n_phases; i++)
        for (int k = 0; k < plan->phases[i].n; k++)
            plan->phases[i].n_items += plan->steps[plan->phases[i].first + k].n_items;
    plan->taken = base_alloc_array((size_t)plan->n_phases, sizeof *plan->taken);
    *out = plan;
    return PR_OK;
fail:
    cpu_plan_destroy(plan);
    return err;
}

void cpu_plan_destroy(struct cpu_plan *plan)
{
    if (!plan)
        return;
    compute_buffer_destroy(plan->workspace);
    base_free(plan->taken);
    base_free(plan->angles);
    base_free(plan->phases);
    base_free(plan->steps);
    base_free(plan);
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

static int64_t least64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The item-th rectangle of [rows, cols]. */
static struct cpu_range range_of(const struct step *step, int64_t item, int64_t rows, int64_t cols)
{
    int64_t across = ceil_div(cols, step->cols);
    struct cpu_range r = {.row0 = item / across * step->rows, .col0 = item % across * step->cols};
    r.row1 = least64(r.row0 + step->rows, rows);
    r.col1 = least64(r.col0 + step->cols, cols);
    return r;
}

static void run_gather(const struct op *op, struct cpu_range r)
{
    const struct tensor *table = op->src[0];
    const int32_t *ids = compute_tensor_data(op->src[1]);
    for (int64_t row = r.row0; row < r.row1; row++) {
        float *out = (float *)compute_tensor_data(op->dst) + row * op->dst->cols;
        if (ids[row] >= 0 && ids[row] < table->rows)
            ref_load(table, ids[row], 0, table->cols, out);
        else
            memset(out, 0, (size_t)table->cols * sizeof *out);
    }
}

static void run_angles(const struct step *step, struct cpu_range r)
{
    const struct rope_params *p = &step->op->rope;
    const float *divisors = step->op->src[2] ? compute_tensor_data(step->op->src[2]) : NULL;
    int half = p->n_rot / 2;
    for (int i = 0; i < half; i++) {
        double frequency = ref_rope_frequency(p, divisors, i);
        int axis = ref_rope_axis(p, i);
        for (int64_t row = r.row0; row < r.row1; row++) {
            double angle = ((const int32_t *)compute_tensor_data(step->op->src[1]))[4 * row + axis] * frequency;
            step->angles[row * p->n_rot + i] = (float)(cos(angle) * p->yarn_attn);
            step->angles[row * p->n_rot + half + i] = (float)(sin(angle) * p->yarn_attn);
        }
    }
}

static void run_product(struct cpu_plan *plan, const struct step *step, int64_t item, void *scratch)
{
    const struct op *op = step->op;
    const struct tensor *w = op->src[0];
    int64_t n = op->dst->rows;
    struct cpu_range r = range_of(step, item, w->rows, n);
    struct cpu_product job = {
        .w = w,
        .packed = w->packed && w->packed_on == plan->part->device ? w->packed : NULL,
        .bias = op->src[2],
        .addend = op->addend ? compute_tensor_data(op->addend) : NULL,
        .x = compute_tensor_data(op->src[1]),
        .act = step->act,
        .split = step->split,
        .y = compute_tensor_data(op->dst),
        .k = w->cols,
        .m = w->rows,
        .t0 = r.col0,
        .t1 = r.col1,
        .m0 = r.row0,
        .m1 = r.row1,
        .scratch = scratch,
    };
    if (tiled(plan, op))
        plan->kernels->product_tiles(&job);
    else if (rounded(plan, op))
        plan->kernels->product_quant(&job);
    else if (n <= CPU_FEW_TOKENS && !quantized(w))
        plan->kernels->product_float(&job);
    else
        plan->kernels->product_many(&job);
}

/* Neighbouring items are heads of the same cells, which lie beside each other. Tokens are counted from the last piece down: with
 * a causal mask the longest work comes first. */
static void run_attention(struct cpu_plan *plan, const struct step *step, int64_t item, void *scratch)
{
    const struct op *op = step->op;
    int64_t pieces = ceil_div(op->dst->rows, step->rows);
    int64_t heads = op->attention.n_kv;
    struct cpu_attention a = {.op = op, .n_slices = step->n_slices, .partial = step->partial, .scratch = scratch};
    a.kv = (int32_t)(item % heads);
    item /= heads;
    a.slice = (int32_t)(item % step->n_slices);
    a.t0 = (pieces - 1 - item / step->n_slices) * step->rows;
    a.t1 = least64(a.t0 + step->rows, op->dst->rows);
    plan->kernels->attention(&a);
}

static void run_item(struct cpu_plan *plan, const struct step *step, int64_t item, int thread)
{
    const struct op *op = step->op;
    const struct tensor *over = op->kind == OP_scatter ? op->src[1] : op->dst;
    void *scratch = (char *)plan->workspace->host + (size_t)thread * plan->thread_scratch;
    struct cpu_range r;
    switch (step->kind) {
    case STEP_ROWS:
        r = range_of(step, item, over->rows, over->cols);
        (*plan->kernels->rows)[op->kind](op, &r);
        break;
    case STEP_GATHER:
        run_gather(op, range_of(step, item, over->rows, over->cols));
        break;
    case STEP_REF:
        ref_compute(op, op->scratch_size ? (char *)plan->part->arena->host + op->scratch_offset : NULL);
        break;
    case STEP_ANGLES:
        run_angles(step, range_of(step, item, over->rows, op->rope.n_rot));
        break;
    case STEP_ROPE:
        r = range_of(step, item, over->rows, over->cols);
        plan->kernels->rope(op, &r, step->angles);
        break;
    case STEP_QUANTIZE: {
        const struct tensor *x = op->src[1];
        r = range_of(step, item, x->rows, x->cols);
        plan->kernels->quantize((const float *)compute_tensor_data(x) + r.row0 * x->cols,
                                step->act + r.row0 * x->cols / 32, (r.row1 - r.row0) * x->cols / 32);
        break;
    }
    case STEP_SPLIT:
        r = range_of(step, item, token_tiles(op->src[1]), op->src[1]->cols);
        plan->kernels->split(op->src[1], step->split, r.row0, r.row1);
        break;
    case STEP_PRODUCT:
        run_product(plan, step, item, scratch);
        break;
    case STEP_ATTENTION:
        run_attention(plan, step, item, scratch);
        break;
    case STEP_MERGE: {
        r = range_of(step, item, over->rows, over->cols);
        struct cpu_attention a = {
            .op = op, .t0 = r.row0, .t1 = r.row1, .n_slices = step->n_slices, .partial = step->partial};
        plan->kernels->attention_merge(&a);
        break;
    }
    }
}

static void run_serial(struct cpu_plan *plan, const struct phase *phase)
{
    for (int s = phase->first; s < phase->first + phase->n; s++)
        for (int64_t item = 0; item < plan->steps[s].n_items; item++)
            run_item(plan, &plan->steps[s], item, 0);
}

/* Takes some of the phase's items: a share of what is left, so that the last ones are small and nobody waits long for another.
 * false: none is left. */
static bool take_items(struct cpu_plan *plan, int index, int n_threads, int64_t *first, int64_t *end)
{
    int64_t n_items = plan->phases[index].n_items;
    long long taken = atomic_load_explicit(&plan->taken[index], memory_order_relaxed);
    long long share;
    do {
        if (taken >= n_items)
            return false;
        share = (n_items - taken) / (2 * n_threads);
        share = share > 1 ? share : 1;
    } while (!atomic_compare_exchange_weak_explicit(&plan->taken[index], &taken, taken + share, memory_order_relaxed,
                                                    memory_order_relaxed));
    *first = taken;
    *end = taken + share;
    return true;
}

/* Takes items of the phase until none is left. */
static void run_shared(struct cpu_plan *plan, int index, int thread, int n_threads)
{
    const struct step *step = &plan->steps[plan->phases[index].first];
    int64_t before = 0; /* items of the steps before this one */
    int64_t item, end;
    while (take_items(plan, index, n_threads, &item, &end))
        for (; item < end; item++) {
            while (item - before >= step->n_items)
                before += step++->n_items;
            run_item(plan, step, item - before, thread);
        }
}

/* Thread 0 looks for a request to stop and names the phase before which everybody does, so that all leave at the same one. */
static void run_thread(void *arg, int thread, int n)
{
    struct cpu_plan *plan = arg;
    for (int i = 0; i < plan->n_phases; i++) {
        if (!plan->phases[i].serial)
            run_shared(plan, i, thread, n);
        else if (thread == 0)
            run_serial(plan, &plan->phases[i]);
        if (i + 1 == plan->n_phases)
            break;
        if (thread == 0 && base_cancelled(plan->cancel) && !plan->cancelled) {
            plan->cancelled = true;
            atomic_store_explicit(&plan->stop_at, i + 1, memory_order_relaxed);
        }
        compute_pool_barrier(&plan->barrier, n);
        if (i + 1 >= atomic_load_explicit(&plan->stop_at, memory_order_relaxed))
            break;
    }
}

int cpu_plan_run(struct cpu_plan *plan, const struct base_cancel *cancel)
{
    if (base_cancelled(cancel))
        return base_fail(PR_ERR_CANCELLED, "stopped on request");
    for (int i = 0; i < plan->n_phases; i++)
        atomic_store_explicit(&plan->taken[i], 0, memory_order_relaxed);
    plan->cancel = cancel;
    plan->cancelled = false;
    atomic_store(&plan->stop_at, plan->n_phases);
    compute_pool_run(plan->n_threads, run_thread, plan);
    return plan->cancelled ? base_fail(PR_ERR_CANCELLED, "stopped on request") : PR_OK;
}
