/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/device.h"

#include "base/mem.h"
#include "compute/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct backend *const backends[] = {&compute_backend_vk, &compute_backend_cpu, &compute_backend_ref};
enum { N_BACKENDS = sizeof backends / sizeof backends[0], LIST_MAX = 32 };

/* ---- finding and opening ---------------------------------------------------------------------------------------- */

/* Hardware GPUs, cpu, software GPUs, ref. */
static int preference(const struct device_info *info)
{
    if (strcmp(info->id, "ref") == 0)
        return 3;
    if (info->software)
        return 2;
    return strcmp(info->id, "cpu") == 0 ? 1 : 0;
}

int compute_device_list(struct device_info *infos, int max, int *n)
{
    struct device_info *found = base_alloc_array(LIST_MAX, sizeof *found);
    int n_found = 0;
    for (int b = 0; b < N_BACKENDS; b++)
        backends[b]->list(found, LIST_MAX, &n_found);
    if (n_found > LIST_MAX)
        n_found = LIST_MAX;
    *n = 0;
    for (int rank = 0; rank < 4; rank++) {
        for (int i = 0; i < n_found; i++) {
            if (preference(&found[i]) != rank)
                continue;
            if (*n < max)
                infos[*n] = found[i];
            ++*n;
        }
    }
    base_free(found);
    return PR_OK;
}

static int no_such_device(const char *id)
{
    struct device_info *infos = base_alloc_array(LIST_MAX, sizeof *infos);
    struct base_buf ids = {0};
    int n;
    compute_device_list(infos, LIST_MAX, &n);
    for (int i = 0; i < n && i < LIST_MAX; i++)
        base_buf_printf(&ids, "%s%s", i ? ", " : "", infos[i].id);
    int err = base_fail(PR_ERR_NOT_FOUND, "there is no device %s; use one of: auto, %s", id, ids.data ? ids.data : "");
    base_buf_finish(&ids);
    base_free(infos);
    return err;
}

static const struct backend *backend_of(const char *id)
{
    for (int b = 0; b < N_BACKENDS; b++) {
        size_t len = strlen(backends[b]->name);
        if (strncmp(id, backends[b]->name, len) == 0 && (id[len] == '\0' || id[len] == ':'))
            return backends[b];
    }
    return NULL;
}

/* Finds the listed device that `id` means: itself, the most preferred for "auto", the first Vulkan one for "vulkan". */
static bool resolve(const char *id, struct device_info *out)
{
    struct device_info *infos = base_alloc_array(LIST_MAX, sizeof *infos);
    int n = 0;
    bool found = false;
    const struct backend *named = backend_of(id);
    if (named && named->host)
        named->list(infos, LIST_MAX, &n); /* who asks for the cpu needn't wait until Vulkan's drivers are loaded */
    else
        compute_device_list(infos, LIST_MAX, &n);
    for (int i = 0; i < n && i < LIST_MAX && !found; i++) {
        bool first_vulkan = strcmp(id, "vulkan") == 0 && strncmp(infos[i].id, "vulkan:", 7) == 0;
        if (strcmp(id, "auto") == 0 || first_vulkan || strcmp(id, infos[i].id) == 0) {
            *out = infos[i];
            found = true;
        }
    }
    base_free(infos);
    return found;
}

int compute_device_open(const char *id, const struct device_options *options, struct device **out)
{
    struct device_info info;
    if (!resolve(id, &info)) {
        /* A backend that lists nothing may still say why ("built without Vulkan"). */
        struct device probe = {.backend = backend_of(id)};
        if (strcmp(id, "vulkan") == 0 && probe.backend && probe.backend->open(&probe, 0) == PR_ERR_DEVICE)
            return PR_ERR_DEVICE;
        return no_such_device(id);
    }
    const char *colon = strchr(info.id, ':');
    struct device *device = base_alloc(sizeof *device);
    device->backend = backend_of(info.id);
    device->info = info;
    if (options)
        device->options = *options;
    int err = device->backend->open(device, colon ? atoi(colon + 1) : 0);
    if (err < 0) {
        base_free(device);
        return err;
    }
    *out = device;
    return PR_OK;
}

void compute_device_close(struct device *device)
{
    if (!device)
        return;
    device->backend->close(device);
    base_free(device);
}

int compute_device_measure(struct device *device, struct device_speed *out)
{
    *out = (struct device_speed){0};
    if (!device->backend->measure)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: its speed isn't measured", device->info.id);
    return device->backend->measure(device, out);
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/* Host memory is handed out by the system before it is there, and who uses too much of it gets killed: more than the machine
 * has is refused here. */
static uint64_t limit_of(const struct device *device)
{
    uint64_t limit = device->options.memory_limit;
    return limit || !device->backend->host ? limit : device->info.memory;
}

static int take(struct device *device, size_t size)
{
    uint64_t limit = limit_of(device);
    if (limit && (size > limit || device->allocated > limit - size))
        return base_fail(
            PR_ERR_NOMEM,
            "%s: %zu bytes more don't fit: %llu are in use and the limit is %llu; raise the limit or use a "
            "smaller context or model",
            device->info.id, size, (unsigned long long)device->allocated, (unsigned long long)limit);
    device->allocated += size;
    if (device->allocated > device->peak)
        device->peak = device->allocated;
    return PR_OK;
}

static void give_back(struct device *device, size_t size)
{
    device->allocated -= size;
}

/* Host memory comes zeroed from the kernel, page by page as it is touched: a large cache costs nothing until it is used. */
static int host_create(struct buffer *buffer)
{
    void *memory = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return base_fail(PR_ERR_NOMEM, "%s: the system hasn't got %zu bytes of memory; use a smaller context or model",
                         buffer->device->info.id, buffer->size);
    buffer->host = memory;
    return PR_OK;
}

int compute_buffer_create(struct device *device, size_t size, struct buffer **out)
{
    int err;
    if (size == 0 || size > SIZE_MAX / 2)
        return base_fail(PR_ERR_INVALID, "%s: a buffer of %zu bytes was asked for", device->info.id, size);
    struct buffer *buffer = base_alloc(sizeof *buffer);
    buffer->device = device;
    buffer->size = size;
    err = take(device, size);
    if (err < 0) {
        base_free(buffer);
        return err;
    }
    err = device->backend->buffer_create ? device->backend->buffer_create(device, size, buffer) : host_create(buffer);
    if (err < 0) {
        give_back(device, size);
        base_free(buffer);
        return err;
    }
    *out = buffer;
    return PR_OK;
}

void compute_buffer_destroy(struct buffer *buffer)
{
    if (!buffer)
        return;
    if (!buffer->borrowed) {
        give_back(buffer->device, buffer->size);
        if (buffer->device->backend->buffer_destroy)
            buffer->device->backend->buffer_destroy(buffer);
        else
            munmap(buffer->host, buffer->size);
    }
    base_free(buffer);
}

int compute_buffer_wrap(struct device *device, const void *memory, size_t size, struct buffer **out)
{
    if (!device->backend->host)
        return base_fail(PR_ERR_INVALID, "%s can't compute in host memory; wrap it for ref or cpu", device->info.id);
    struct buffer *buffer = base_alloc(sizeof *buffer);
    *buffer = (struct buffer){.device = device, .size = size, .host = (void *)memory, .borrowed = true};
    *out = buffer;
    return PR_OK;
}

static int check_range(const struct buffer *buffer, size_t offset, size_t size)
{
    if (offset > buffer->size || size > buffer->size - offset)
        return base_fail(PR_ERR_INVALID, "%s: bytes %zu to %zu lie outside a buffer of %zu", buffer->device->info.id,
                         offset, offset + size, buffer->size);
    return PR_OK;
}

int compute_buffer_write(struct buffer *buffer, size_t offset, const void *from, size_t size)
{
    int err = check_range(buffer, offset, size);
    if (err < 0 || size == 0)
        return err;
    if (buffer->borrowed)
        return base_fail(PR_ERR_INVALID, "%s: wrapped memory is read-only", buffer->device->info.id);
    if (buffer->device->backend->buffer_write)
        return buffer->device->backend->buffer_write(buffer, offset, from, size);
    memcpy((char *)buffer->host + offset, from, size);
    return PR_OK;
}

int compute_buffer_read(struct buffer *buffer, size_t offset, void *to, size_t size)
{
    int err = check_range(buffer, offset, size);
    if (err < 0 || size == 0)
        return err;
    if (buffer->device->backend->buffer_read)
        return buffer->device->backend->buffer_read(buffer, offset, to, size);
    memcpy(to, (const char *)buffer->host + offset, size);
    return PR_OK;
}

/* ---- weights and states --------------------------------------------------------------------------------------------- */

static size_t packed_size(struct device *device, const struct tensor *weight)
{
    return device->backend->packed_size ? device->backend->packed_size(device, weight) : 0;
}

static bool reads_in_place(struct device *device, const struct tensor *weight)
{
    return device->backend->reads_in_place && device->backend->reads_in_place(device, weight);
}

size_t compute_tensor_place_size(struct device *device, const struct tensor *weight)
{
    if (weight->packed || weight->home || reads_in_place(device, weight))
        return 0;
    size_t packed = packed_size(device, weight);
    if (packed || device->backend->host)
        return packed;
    return compute_tensor_bytes(weight);
}

static int pack(struct device *device, struct tensor *weight, size_t size)
{
    int err = take(device, size);
    if (err < 0)
        return err;
    err = device->backend->pack(device, weight);
    if (err < 0) {
        give_back(device, size);
        return err;
    }
    weight->packed_size = size;
    weight->packed_on = device;
    return PR_OK;
}

/* Points the weight to `buffer`, keeping where it lay. */
static void move_to(struct tensor *weight, struct buffer *buffer)
{
    weight->home = weight->buffer;
    weight->home_offset = weight->offset;
    weight->buffer = buffer;
    weight->offset = 0;
}

static int upload(struct device *device, struct tensor *weight)
{
    struct buffer *buffer = NULL;
    int err;
    size_t size = compute_tensor_bytes(weight);
    TRY(compute_buffer_create(device, size, &buffer));
    TRY(compute_buffer_write(buffer, 0, compute_tensor_data(weight), size));
    move_to(weight, buffer);
    return PR_OK;
fail:
    compute_buffer_destroy(buffer);
    return err;
}

int compute_tensor_place(struct device *device, struct tensor *weight)
{
    int err;
    if (weight->packed || weight->home)
        return base_fail(PR_ERR_INVALID, "%s: the weight was placed already", weight->name);
    if (reads_in_place(device, weight) && pack(device, weight, 0) == PR_OK)
        return PR_OK;
    size_t packed = packed_size(device, weight);
    if (packed)
        TRY(pack(device, weight, packed));
    else if (!device->backend->host)
        TRY(upload(device, weight));
    if (device->backend->host && weight->buffer->device != device) {
        struct buffer *here = NULL;
        TRY(compute_buffer_wrap(device, compute_tensor_data(weight), compute_tensor_bytes(weight), &here));
        move_to(weight, here);
    }
    return PR_OK;
fail:
    return base_fail_prefix(err, "%s", weight->name);
}

void compute_tensor_unplace(struct tensor *weight)
{
    if (weight->packed) {
        weight->packed_on->backend->unpack(weight->packed_on, weight);
        give_back(weight->packed_on, weight->packed_size);
        weight->packed = NULL;
        weight->packed_on = NULL;
        weight->packed_size = 0;
    }
    if (weight->home) {
        compute_buffer_destroy(weight->buffer);
        weight->buffer = weight->home;
        weight->offset = weight->home_offset;
        weight->home = NULL;
        weight->home_offset = 0;
    }
}

int compute_state_create(struct device *device, enum type type, int64_t rows, int64_t cols, const char *name,
                         struct tensor *out)
{
    const struct type_traits *traits = compute_type(type);
    size_t size;
    *out = (struct tensor){.role = TENSOR_STATE, .type = type, .rows = rows, .cols = cols};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (!traits || rows < 1 || cols < 1 || cols % traits->block != 0)
        return base_fail(PR_ERR_INVALID, "%s: a state of [%lld, %lld] %s can't be made", name, (long long)rows,
                         (long long)cols, traits ? traits->name : "unknown type");
    if (!base_mul((size_t)(cols / traits->block), (size_t)traits->bytes, &size) || !base_mul(size, (size_t)rows, &size))
        return base_fail(PR_ERR_NOMEM, "%s: [%lld, %lld] %s is more than memory can hold", name, (long long)rows,
                         (long long)cols, traits->name);
    int err = compute_buffer_create(device, size, &out->buffer);
    return err < 0 ? base_fail_prefix(err, "%s", name) : PR_OK;
}

void compute_state_destroy(struct tensor *state)
{
    compute_buffer_destroy(state->buffer);
    *state = (struct tensor){0};
}
