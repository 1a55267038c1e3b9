/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Restores the bytes as a saved sequence, with the checksum put right so that it isn't the checksum that refuses them. What is
 * restored must bear everything that sequences go through.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "compute/device.h"
#include "llm/kv_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LAYERS = 2, COLUMNS = 4, CELLS = 64, PAGE = 16 };

static struct llm_kv *make_cache(void)
{
    static struct device *device;
    static struct device *devices[LAYERS];
    struct llm_kv *kv;
    if (compute_device_open("ref", &(struct device_options){0}, &device) < 0)
        abort();
    devices[0] = devices[1] = device;
    struct llm_kv_params params = {
        .n_layer = LAYERS,
        .d_key = COLUMNS,
        .d_value = COLUMNS,
        .devices = devices,
        .host = device,
        .key_type = TYPE_F32,
        .value_type = TYPE_F32,
        .page_size = PAGE,
        .cells = CELLS,
        .rope =
            {.kind = ROPE_NEOX, .d_head = COLUMNS, .n_rot = COLUMNS, .base = 10000, .freq_scale = 1, .yarn_attn = 1},
        .n_ctx_train = 1000};
    if (llm_kv_create(&params, &kv) < 0)
        abort();
    return kv;
}

static void use(struct llm_kv *kv, struct llm_sequence *s)
{
    struct llm_sequence *fork;
    int32_t by;
    int64_t length = llm_sequence_length(s);
    if (llm_sequence_fork(s, &fork) < 0)
        abort();
    llm_sequence_shift(s, &by);
    for (int i = 0; i < 3; i++)
        if (llm_sequence_reserve(s, 10) == PR_OK) {
            struct llm_cell cells[10] = {{0, 0}};
            llm_sequence_append(s, cells, 10);
            for (int32_t place = 0; place < s->n; place++)
                if (llm_sequence_row(s, place) < 0 || llm_sequence_row(s, place) >= llm_kv_cells(kv))
                    abort();
        }
    llm_sequence_next_position(s);
    llm_sequence_rollback(s, length / 2);
    llm_sequence_rollback(fork, 0);
    llm_sequence_destroy(fork);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct llm_kv *kv;
    static int fd = -1;
    static char path[64];
    uint64_t sum = 0xcbf29ce484222325u;
    if (!kv) {
        kv = make_cache();
        fd = memfd_create("session", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    for (size_t i = 0; i + 8 < size; i++)
        sum = (sum ^ data[i]) * 0x100000001b3u;
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size ||
        (size > 8 && pwrite(fd, &sum, sizeof sum, (off_t)size - 8) != sizeof sum))
        abort();

    struct llm_sequence *s;
    void *extra;
    size_t extra_size;
    if (llm_sequence_restore(kv, path, 1, &s, &extra, &extra_size) == PR_OK) {
        volatile uint8_t sink = 0;
        for (size_t i = 0; i < extra_size; i++)
            sink = (uint8_t)(sink + ((uint8_t *)extra)[i]);
        use(kv, s);
        llm_sequence_destroy(s);
        base_free(extra);
    }
    if (llm_kv_free_cells(kv) != llm_kv_cells(kv))
        abort();
    return 0;
}
