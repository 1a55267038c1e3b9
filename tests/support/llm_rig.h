/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small model on a device with a cache, and the golden answers about it, for tests of llm/.
 */
#pragma once

#include "compute/device.h"
#include "llm/decoder.h"
#include "model/gguf.h"

struct llm_rig {
    struct device *device, *host; /* host: the same, or a ref device beside a Vulkan one */
    struct gguf *gguf;
    struct llm_decoder *decoder;
    struct llm_kv *kv;
    const struct hparams *hp;
};

struct llm_rig_options {
    const char *model;              /* file in tests/golden/llm, or a path from the root */
    const char *device;             /* NULL: "ref" */
    const char *host;               /* NULL: the device itself, or "ref" beside a Vulkan device */
    enum type key_type, value_type; /* of the cache; 0 is f32 */
    int64_t cells;                  /* 0: 512 */
    int32_t batch;                  /* 0: 256 */
    int32_t page_size;              /* 0: 16 */
    uint64_t memory_limit;          /* of the device */
};

/* Fails the test when something can't be had. */
void llm_rig_open(struct llm_rig *rig, const struct llm_rig_options *options);
void llm_rig_close(struct llm_rig *rig);

/* Whether a device can be opened here ("cpu", "vulkan"): tests of backends that aren't there are skipped. */
bool llm_rig_has(const char *device);
void llm_rig_need(const char *device); /* skips the test, and says why, when it isn't there */

/* Log-probabilities of the whole vocabulary: in place. */
void llm_rig_log_softmax(float *logits, int32_t n_vocab);

/* The largest difference of two lists; infinite when it isn't a number somewhere. */
float llm_rig_difference(const float *a, const float *b, int32_t n);

/* `n` token ids that look like text to a random model: the same for the same seed. */
void llm_rig_ids(int32_t *ids, int32_t n, int32_t n_vocab, uint32_t seed);

enum { GOLDEN_TOP = 20, GOLDEN_STEPS = 16 };
struct golden {
    int n_models;
    char models[4][96];
    struct llm_piece pieces[16]; /* their memory belongs to the golden */
    size_t n_pieces;
    int n_steps; /* GOLDEN_STEPS in those of golden/llm, fewer where an answer ended */
    struct golden_step {
        int32_t id, ids[GOLDEN_TOP];
        float logprobs[GOLDEN_TOP];
    } steps[GOLDEN_STEPS];
    float *rows;
};
void golden_read(const char *name, struct golden *out); /* tests/golden/llm/<name>.json */
/* The n-th of the "cases" of a file such as tests/golden/smollm2.json; false: there are fewer. */
bool golden_read_case(const char *path, int n, struct golden *out);
void golden_finish(struct golden *golden);

/* The largest difference to the golden's log-probabilities. Feeds the golden's tokens, so that one flip can't hide the rest. */
float llm_rig_compare(struct llm_rig *rig, const struct golden *golden);
