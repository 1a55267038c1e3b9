/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lazy shift of a sliding sequence. Attention under rope depends on differences of positions only, so keys that were
 * rotated to p are moved to p - by with one more rotation by -by; the rows of everybody else are rotated by 0, which changes
 * no bit. All axes go back by the same amount, which under M-RoPE too is one ordinary rotation.
 */
#include "llm/kv_impl.h"

#include "compute/pass.h"

static int plan(struct llm_kv *kv)
{
    int err;
    struct device *devices[4];
    int n_devices = 0;
    for (int32_t i = 0; i < kv->params.n_layer; i++) {
        bool known = kv->devices[i] == kv->params.host;
        for (int j = 0; j < n_devices; j++)
            known |= devices[j] == kv->devices[i];
        if (!known && n_devices < 3)
            devices[n_devices++] = kv->devices[i];
    }
    devices[n_devices++] = kv->params.host; /* the last one, as a pass wants it */
    struct rope_params rope = kv->params.rope;
    rope.yarn_attn = 1; /* the keys have YaRN's factor already */
    kv->shift = compute_pass_create(devices, n_devices);
    kv->shift_positions = compute_pass_input(kv->shift, TYPE_I32, kv->params.cells, 4, "shift.positions");
    for (int32_t i = 0; i < kv->params.n_layer; i++)
        op_rope(kv->shift, &kv->keys[i], kv->shift_positions, kv->divisors[i], &rope);
    TRY(compute_pass_plan(kv->shift, NULL));
    return PR_OK;
fail:
    compute_pass_destroy(kv->shift);
    kv->shift = NULL;
    return err;
}

int llm_sequence_shift(struct llm_sequence *s, int32_t *by)
{
    int err;
    struct llm_kv *kv = s->kv;
    int32_t page_size = kv->params.page_size, sinks = s->slide.sinks;
    *by = 0;

    int32_t first = s->n + 1 - s->slide.window; /* the first place behind the sinks that the next token sees */
    if (first < sinks)
        first = sinks;
    if (first >= s->n)
        return PR_OK;
    int32_t low = INT32_MAX;
    for (int32_t i = first; i < s->n; i++)
        if (s->cells[i].low < low)
            low = s->cells[i].low;
    int32_t back = low - (sinks ? s->cells[sinks - 1].next : 0);
    if (back <= 0)
        return PR_OK;

    for (int32_t i = sinks / page_size; i * page_size < s->n; i++)
        TRY(llm_sequence_own_page(s, i));
    if (!kv->shift)
        TRY(plan(kv));
    int32_t(*positions)[4] = compute_pass_host(kv->shift, kv->shift_positions);
    for (int64_t row = 0; row < kv->params.cells; row++)
        for (int axis = 0; axis < 4; axis++)
            positions[row][axis] = 0;
    for (int32_t i = sinks; i < s->n; i++) {
        for (int axis = 0; axis < 3; axis++)
            positions[llm_sequence_row(s, i)][axis] = -back;
        s->cells[i].low -= back;
        s->cells[i].next -= back;
    }
    *by = back;
    return compute_pass_run(kv->shift, NULL); /* can't be cancelled half way */
fail:
    return err;
}
