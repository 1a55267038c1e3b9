/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/network.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- fetching --------------------------------------------------------------------------------------------------- */

/* A graph that leaves out what layers have, or has layers that lack what others have, gives text that looks right and isn't. */
static int check_complete(const struct llm_network *net, const struct gguf *gguf)
{
    const struct llm_layer *first = &net->layers[0];
    for (int32_t i = 0; i < net->hp.n_layer; i++)
        for (int t = 0; t < LLM_LAYER_TENSORS; t++)
            if (!net->layers[i].tensors[t] != !first->tensors[t])
                return base_fail(PR_ERR_FORMAT,
                                 "%s: layer %d has other tensors than layer 0; the file is incomplete or was converted "
                                 "wrongly, get it again",
                                 model_gguf_path(gguf), i);
    const struct gguf_tensor *more = model_weights_unread(net->weights, "blk.");
    if (!more)
        return PR_OK;
    return base_fail(PR_ERR_UNSUPPORTED,
                     "%s: tensor \"%s\" is no part of a %s model with %d layers; the file is damaged, or of a kind of "
                     "model that isn't supported",
                     model_gguf_path(gguf), more->name, net->arch->name, net->hp.n_layer);
}

static int fetch(struct llm_network *net, const struct gguf *gguf)
{
    int err;
    struct hparams *hp = &net->hp;
    struct tensor *token_embd, *divisors;
    TRY(model_weight(net->weights, "token_embd.weight", hp->n_vocab, hp->d_model, 0, &token_embd));
    net->token_embd = *token_embd; /* before it may be placed as the head of a tied model */
    TRY(model_weight(net->weights, "output_norm.weight", 1, hp->d_model, 0, &net->output_norm));
    TRY(model_weight(net->weights, "output.weight", hp->n_vocab, hp->d_model, WEIGHT_OPTIONAL, &net->output));
    if (!net->output)
        net->output = token_embd;
    for (int32_t i = 0; i < hp->n_layer; i++) {
        struct llm_load load = {net->weights, hp, i};
        TRY(net->arch->load(&load, &net->layers[i]));
    }
    TRY(model_weight(net->weights, "rope_freqs.weight", 1, hp->rope.n_rot / 2, WEIGHT_OPTIONAL, &divisors));
    for (int32_t i = 0; i < hp->n_layer; i++)
        net->divisors[i] = divisors;
    TRY(check_complete(net, gguf));
    return PR_OK;
fail:
    return err;
}

/* ---- placing ---------------------------------------------------------------------------------------------------- */

static uint64_t place_size(const struct llm_network *net, const struct tensor *t)
{
    return t ? compute_tensor_place_size(net->device, t) : 0;
}

static uint64_t layer_size(const struct llm_network *net, int32_t i)
{
    uint64_t size = 0;
    for (int t = 0; t < LLM_LAYER_TENSORS; t++)
        size += place_size(net, net->layers[i].tensors[t]);
    return size;
}

/* What the largest pass may take on the device, with all that its plan can't reuse; plans are smaller. */
static uint64_t activation_size(const struct hparams *hp, int32_t batch)
{
    uint64_t row =
        4 * (uint64_t)hp->d_model + 2 * (uint64_t)hp->d_ff + 2 * (uint64_t)hp->n_head * (hp->d_head + hp->d_value);
    return (row * (uint64_t)batch + 2 * (uint64_t)hp->n_vocab) * sizeof(float) * 2;
}

static uint64_t room_of(const struct device *device)
{
    uint64_t limit = device->options.memory_limit;
    if (!limit || (device->info.memory && device->info.memory < limit))
        limit = device->info.memory;
    if (!limit)
        return UINT64_MAX;
    return limit > device->allocated ? limit - device->allocated : 0;
}

static bool take(uint64_t *room, uint64_t size)
{
    if (*room == UINT64_MAX)
        return true;
    if (*room < size)
        return false;
    *room -= size;
    return true;
}

/* How many of the last layers fit beside the head, cache and activations included. */
static int32_t choose_layers(const struct llm_network *net, const struct llm_decoder_options *options)
{
    const struct hparams *hp = &net->hp;
    struct llm_kv_params kv = {.n_layer = 1,
                               .d_key = hp->n_kv * hp->d_head,
                               .d_value = hp->n_kv * hp->d_value,
                               .key_type = options->key_type,
                               .value_type = options->value_type,
                               .page_size = LLM_PAGE_SIZE,
                               .cells = options->cells};
    uint64_t room = room_of(net->device), cache = llm_kv_bytes(&kv);
    if (!take(&room, activation_size(hp, options->batch)) ||
        !take(&room, place_size(net, net->output) + place_size(net, net->output_norm)))
        return 0;
    int32_t n = 0;
    while (n < hp->n_layer && take(&room, layer_size(net, hp->n_layer - 1 - n) + cache))
        n++;
    return n;
}

static int place_layer(struct llm_layer *layer, struct device *device)
{
    for (int t = 0; t < LLM_LAYER_TENSORS; t++) {
        int err = layer->tensors[t] ? compute_tensor_place(device, layer->tensors[t]) : PR_OK;
        if (err < 0) {
            while (t-- > 0)
                if (layer->tensors[t])
                    compute_tensor_unplace(layer->tensors[t]);
            return err;
        }
    }
    return PR_OK;
}

/* The layers that were chosen go to the device, last ones first. When it has less memory than it said, what is there stays. */
static int place_on_device(struct llm_network *net, int32_t wanted)
{
    int err;
    if (wanted == 0)
        return PR_OK;
    err = compute_tensor_place(net->device, net->output);
    if (err == PR_OK)
        err = compute_tensor_place(net->device, net->output_norm);
    while (err == PR_OK && net->n_placed < wanted) {
        err = place_layer(&net->layers[net->hp.n_layer - 1 - net->n_placed], net->device);
        net->n_placed += err == PR_OK;
    }
    return err == PR_ERR_NOMEM ? PR_OK : err;
}

static bool placed(const struct tensor *t)
{
    return t->packed || t->home;
}

static int place_on_host(struct llm_network *net)
{
    int err;
    for (int32_t i = 0; i < net->hp.n_layer - net->n_placed; i++)
        TRY(place_layer(&net->layers[i], net->host));
    if (!placed(net->output))
        TRY(compute_tensor_place(net->host, net->output));
    if (!placed(net->output_norm))
        TRY(compute_tensor_place(net->host, net->output_norm));
    return PR_OK;
fail:
    return err;
}

/* Rope's divisors lie with each layer: as the file has them on the host, and in a copy on the device. */
static int place_divisors(struct llm_network *net)
{
    int err;
    struct tensor *plain = net->divisors[0];
    if (!plain || net->n_placed == 0 || net->device == net->host)
        return PR_OK;
    TRY(compute_state_create(net->device, plain->type, plain->rows, plain->cols, plain->name, &net->device_divisors));
    TRY(compute_buffer_write(net->device_divisors.buffer, net->device_divisors.offset,
                             (const char *)plain->buffer->host + plain->offset, compute_tensor_bytes(plain)));
    net->device_divisors.role = TENSOR_WEIGHT; /* nothing changes it from here on */
    for (int32_t i = net->hp.n_layer - net->n_placed; i < net->hp.n_layer; i++)
        net->divisors[i] = &net->device_divisors;
    return PR_OK;
fail:
    return err;
}

static void describe_placement(struct llm_network *net)
{
    const char *device = net->device->info.id, *host = net->host->info.id;
    int32_t n = net->hp.n_layer;
    uint64_t limit = net->device->options.memory_limit ? net->device->options.memory_limit : net->device->info.memory;
    if (net->n_placed == n)
        snprintf(net->placement, sizeof net->placement, "all %d layers on %s", n, device);
    else
        snprintf(net->placement, sizeof net->placement,
                 "%d of %d layers on %s, the rest on %s (device memory %" PRIu64 " MiB)", net->n_placed, n, device,
                 host, limit >> 20);
}

static int place(struct llm_network *net, const struct llm_decoder_options *options)
{
    int err;
    if (net->device == net->host)
        net->n_placed = 0;
    else
        TRY(place_on_device(net, choose_layers(net, options)));
    TRY(place_on_host(net));
    TRY(place_divisors(net));
    if (net->device == net->host)
        net->n_placed = net->hp.n_layer;
    for (int32_t i = 0; i < net->hp.n_layer; i++)
        net->layer_device[i] = i >= net->hp.n_layer - net->n_placed ? net->device : net->host;
    describe_placement(net);
    return PR_OK;
fail:
    return err;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

int llm_network_init(struct llm_network *net, const struct gguf *gguf, const struct llm_decoder_options *options)
{
    int err;
    *net = (struct llm_network){.device = options->device, .host = options->host};
    TRY(model_hparams_read(gguf, &net->hp));
    TRY(llm_arch_find(net->hp.arch, &net->arch));
    TRY(net->arch->prepare(&net->hp));
    if (net->hp.n_deepstack > LLM_MAX_DEEPSTACK)
        TRY(base_fail(PR_ERR_UNSUPPORTED, "%d DeepStack slices are more than %d", net->hp.n_deepstack,
                      LLM_MAX_DEEPSTACK));
    net->layers = base_alloc_array((size_t)net->hp.n_layer, sizeof *net->layers);
    net->divisors = base_alloc_array((size_t)net->hp.n_layer, sizeof *net->divisors);
    net->layer_device = base_alloc_array((size_t)net->hp.n_layer, sizeof *net->layer_device);
    TRY(model_weights_create(gguf, net->host, &net->weights));
    TRY(fetch(net, gguf));
    TRY(place(net, options));
    return PR_OK;
fail:
    llm_network_finish(net);
    return err;
}

void llm_network_finish(struct llm_network *net)
{
    compute_state_destroy(&net->device_divisors);
    model_weights_destroy(net->weights);
    base_free(net->layers);
    base_free(net->divisors);
    base_free(net->layer_device);
    *net = (struct llm_network){0};
}
