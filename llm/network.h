/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A model's weights: fetched by architecture and brought to their devices.
 */
#pragma once

#include "llm/arch.h"
#include "llm/decoder.h"

struct llm_network {
    const struct llm_arch *arch;
    struct hparams hp;
    struct weights *weights;
    struct tensor token_embd; /* [n_vocab, d_model]: always as the file has it, on the host, which looks up its rows */
    struct tensor *output_norm,
        *output;              /* [1, d_model], [n_vocab, d_model]; tied models take token_embd.weight again */
    struct llm_layer *layers; /* [n_layer] */
    struct device *device, *host;
    struct device **layer_device;  /* [n_layer] */
    struct tensor **divisors;      /* [n_layer]: llama 3's rope_freqs, where the layer is; NULLs: none */
    struct tensor device_divisors; /* their copy on `device` */
    int32_t n_placed;              /* layers on `device`, the last ones of the model */
    char placement[256];
};

/* Fetches all weights, then places them: the output head and as many of the last layers as `device` has room for go there, the
 * rest on `host`. On success the caller finishes *out; on failure it is finished already. */
int llm_network_init(struct llm_network *net, const struct gguf *gguf, const struct llm_decoder_options *options);
void llm_network_finish(struct llm_network *net);
