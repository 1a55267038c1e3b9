/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the bytes as an mmproj file: keys, weights with their shapes, and the plan of a pass, if they get that far. Whatever they
 * are, it ends well or with a message that names the file.
 */
#include "tests/fuzz/fuzz.h"

#include "compute/pass.h"
#include "vision/encoder.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *gguf;
    struct device *device;
    struct vision_encoder *encoder;
    struct pass_cost cost;
    struct device_options limits = {.memory_limit = 64 << 20};
    if (model_gguf_open_memory(data, size, "fuzz.gguf", &gguf) < 0)
        return 0;
    if (compute_device_open("ref", &limits, &device) < 0)
        abort();
    struct vision_encoder_options options = {.device = device, .host = device};
    int err = vision_encoder_create(gguf, &options, &encoder);
    if (err < 0 && err != PR_ERR_NOMEM && !strstr(pr_error_message(), "fuzz.gguf: "))
        abort();
    if (err == PR_OK) {
        const struct vision_params *p = vision_encoder_params(encoder);
        if (p->n_layer < 1 || p->d_model % p->n_head != 0 || p->patch < 1 || p->merge < 1 || !(p->std[0] > 0))
            abort();
        (void)vision_encoder_cost(encoder, p->patch * p->merge, p->patch * p->merge, 1, &cost);
    }
    vision_encoder_destroy(encoder);
    compute_device_close(device);
    model_gguf_close(gguf);
    return 0;
}
