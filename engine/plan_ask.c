/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What asking takes, found without asking: the model is opened as for a question, its cache made, and passes of the shapes that reading
 * a prompt and writing an answer have are planned but not run.
 */
#include "engine/plan.h"

#include "compute/pass.h"
#include "engine/ask.h"
#include "engine/clock.h"
#include "engine/keys.h"
#include "engine/session.h"

/* Bytes of the host that devices have handed out; a software GPU's are the host's, too. */
static int64_t handed_out(const struct pr_model *model)
{
    bool software = model->device != model->host && model->device->info.software;
    return (int64_t)(model->host->allocated + (software ? model->device->allocated : 0));
}

/* Bytes that a question takes of the host beside the open model: the cache, passes of the shapes that occur, what is shown, and logits. */
static int count_question(struct pr_model *model, const struct pr_settings *settings, bool sees, int64_t *bytes)
{
    int err;
    const struct hparams *hp = model->hp;
    struct pr_session *session = NULL;
    struct pass_cost cost;
    int64_t before = handed_out(model);
    int32_t batch = llm_decoder_batch(model->decoder);
    const struct {
        int32_t n, n_logits;
    } shapes[] = {
        {batch, 0}, {batch - 1, 0}, {batch, 1}, {1, 1}}; /* text, pictures, the prompt's end, an answer's token */
    int64_t row = (int64_t)hp->d_model * (1 + hp->n_deepstack) * (int64_t)sizeof(float);
    TRY(pr_session_create(model, settings, &session));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        TRY(llm_decoder_cost(model->decoder, session->kv, shapes[i].n, shapes[i].n_logits, &cost));
    *bytes = handed_out(model) - before + hp->n_vocab * (int64_t)sizeof(float);
    *bytes += sees ? engine_ask_budget(model, settings) * row : 0;
fail:
    pr_session_destroy(session);
    return err;
}

int engine_plan_asking(const struct pr_settings *settings, struct library *library, const struct library_source *trials,
                       size_t n, int64_t base, struct pr_plan *out)
{
    int err;
    int64_t question, before = (int64_t)engine_resident();
    struct pr_model *model = NULL;
    double start = engine_now();
    TRY(pr_model_open(settings, NULL, &model));
    int64_t opened = (int64_t)engine_resident() - before;
    for (size_t i = 0; i < n; i++) { /* of all, since passes of each size take memory */
        TRY(engine_keys_of(model, library, &trials[i], NULL, NULL, NULL));
        if (i == 0)
            out->seconds += engine_now() - start; /* mostly the model itself */
    }
    int64_t most = n > 0 ? engine_plan_most_resident(ENGINE_PLAN_ASKING) : 0;
    out->memory = most > out->memory ? most : out->memory;
    TRY(count_question(model, settings, n > 0, &question));
    out->ask_memory = base + opened + question + ENGINE_PLAN_ASKING;
    out->device_memory +=
        model->device == model->host ? 0 : (int64_t)model->device->peak; /* the encoder's stays there */
fail:
    pr_model_close(model);
    return err;
}
