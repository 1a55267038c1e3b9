/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/device.h"

#include "base/mem.h"
#include "compute/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct device *open_limited(uint64_t limit)
{
    struct device_options options = {.memory_limit = limit};
    struct device *device;
    assert_int_equal(compute_device_open("ref", &options, &device), PR_OK);
    return device;
}

static void the_list_ends_with_ref(void **state)
{
    (void)state;
    struct device_info infos[16];
    int n, again;
    assert_int_equal(compute_device_list(infos, 16, &n), PR_OK);
    assert_true(n >= 1);
    assert_string_equal(infos[n - 1].id, "ref");
    assert_true(infos[n - 1].memory > 0);
    assert_int_equal(compute_device_list(NULL, 0, &again), PR_OK); /* counting needs no room */
    assert_int_equal(n, again);
}

static void auto_never_takes_a_software_gpu(void **state)
{
    (void)state;
    struct device *device;
    assert_int_equal(compute_device_open("auto", NULL, &device), PR_OK);
    assert_false(device->info.software);
    compute_device_close(device);
    compute_device_close(NULL);
}

static void unknown_devices_are_named_with_those_that_exist(void **state)
{
    (void)state;
    static const char *const ids[] = {"vulkan:999", "gpu", "", "ref:1", "cpuX", "REF"};
    struct device *device;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_int_equal(compute_device_open(ids[i], NULL, &device), PR_ERR_NOT_FOUND);
        assert_non_null(strstr(pr_error_message(), "ref"));
        assert_non_null(strstr(pr_error_message(), ids[i]));
    }
}

static void buffers_are_zeroed_counted_and_limited(void **state)
{
    (void)state;
    struct device *device = open_limited(1 << 20);
    struct buffer *a, *b = NULL;
    assert_int_equal(compute_buffer_create(device, 600000, &a), PR_OK);
    assert_int_equal((uintptr_t)a->host % 64, 0);
    for (size_t i = 0; i < 600000; i += 997)
        assert_int_equal(((uint8_t *)a->host)[i], 0);
    assert_int_equal(device->allocated, 600000);
    assert_int_equal(compute_buffer_create(device, 600001, &b), PR_ERR_NOMEM);
    assert_null(b);
    assert_non_null(strstr(pr_error_message(), "600001"));  /* what was asked for */
    assert_non_null(strstr(pr_error_message(), "600000"));  /* what is in use */
    assert_non_null(strstr(pr_error_message(), "1048576")); /* the limit */
    assert_non_null(strstr(pr_error_message(), "ref"));
    compute_buffer_destroy(a);
    compute_buffer_destroy(NULL);
    assert_int_equal(device->allocated, 0);
    assert_int_equal(device->peak, 600000);
    compute_device_close(device);
}

static void a_size_that_no_system_has_is_no_memory(void **state)
{
    (void)state;
    struct device *device = open_limited(0);
    struct buffer *b;
    assert_int_equal(compute_buffer_create(device, SIZE_MAX / 4, &b), PR_ERR_NOMEM);
    assert_int_equal(compute_buffer_create(device, device->info.memory / 3 * 2, &b),
                     PR_OK); /* untouched, it costs nothing */
    struct buffer *more;
    assert_int_equal(compute_buffer_create(device, device->info.memory / 3 * 2, &more), PR_ERR_NOMEM);
    compute_buffer_destroy(b);
    assert_int_equal(compute_buffer_create(device, 0, &b), PR_ERR_INVALID);
    assert_int_equal(compute_buffer_create(device, SIZE_MAX, &b), PR_ERR_INVALID);
    assert_int_equal(device->allocated, 0);
    struct tensor state_tensor;
    assert_int_equal(compute_state_create(device, TYPE_F32, INT64_MAX / 2, 1 << 20, "cache", &state_tensor),
                     PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "cache"));
    assert_int_equal(compute_state_create(device, TYPE_Q8_0, 4, 33, "cache", &state_tensor), PR_ERR_INVALID);
    compute_state_destroy(&state_tensor);
    compute_device_close(device);
}

static void reading_and_writing_stay_inside(void **state)
{
    (void)state;
    struct device *device = open_limited(0);
    struct buffer *b;
    char text[8] = "abcdefg";
    assert_int_equal(compute_buffer_create(device, 100, &b), PR_OK);
    assert_int_equal(compute_buffer_write(b, 92, text, 8), PR_OK);
    memset(text, 0, 8);
    assert_int_equal(compute_buffer_read(b, 92, text, 8), PR_OK);
    assert_string_equal(text, "abcdefg");
    assert_int_equal(compute_buffer_write(b, 93, text, 8), PR_ERR_INVALID);
    assert_int_equal(compute_buffer_read(b, SIZE_MAX, text, 8), PR_ERR_INVALID);
    assert_int_equal(compute_buffer_read(b, 100, text, 0), PR_OK);
    compute_buffer_destroy(b);
    static const float weights[4] = {1, 2, 3, 4};
    assert_int_equal(compute_buffer_wrap(device, weights, sizeof weights, &b), PR_OK);
    assert_int_equal(compute_buffer_write(b, 0, text, 8), PR_ERR_INVALID); /* it may be a mapped file */
    assert_int_equal(device->allocated, 0);
    compute_buffer_destroy(b);
    compute_device_close(device);
}

/* A backend that packs weights: its arrangement is the plain one with every byte inverted. */
static struct backend packing;

static size_t pack_size(struct device *device, const struct tensor *weight)
{
    (void)device;
    return compute_tensor_bytes(weight);
}

static int pack(struct device *device, struct tensor *weight)
{
    (void)device;
    size_t n = compute_tensor_bytes(weight);
    uint8_t *bytes = base_alloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t) ~((const uint8_t *)compute_tensor_data(weight))[i];
    weight->packed = bytes;
    return PR_OK;
}

static void unpack(struct device *device, struct tensor *weight)
{
    (void)device;
    base_free(weight->packed);
}

/* ... and one whose memory the host can't touch. */
static int far_create(struct device *device, size_t size, struct buffer *buffer)
{
    (void)device;
    buffer->handle = base_alloc(size);
    return PR_OK;
}

static void far_destroy(struct buffer *buffer)
{
    base_free(buffer->handle);
}

static int far_write(struct buffer *buffer, size_t offset, const void *from, size_t size)
{
    memcpy((char *)buffer->handle + offset, from, size);
    return PR_OK;
}

static void weights_are_packed_where_that_pays(void **state)
{
    (void)state;
    static const float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct device *device = open_limited(40);
    packing = compute_backend_ref;
    packing.packed_size = pack_size;
    packing.pack = pack;
    packing.unpack = unpack;
    device->backend = &packing;
    struct tensor w = {.role = TENSOR_WEIGHT, .rows = 2, .cols = 4, .name = "w"}, v = w;
    assert_int_equal(compute_buffer_wrap(device, data, sizeof data, &w.buffer), PR_OK);
    v.buffer = w.buffer;
    assert_int_equal(compute_tensor_place_size(device, &w), 32);
    assert_int_equal(compute_tensor_place(device, &w), PR_OK);
    assert_int_equal(((uint8_t *)w.packed)[3], (uint8_t)~0x3f);
    assert_ptr_equal(compute_tensor_device(&w), device);
    assert_int_equal(device->allocated, 32);
    assert_int_equal(compute_tensor_place_size(device, &w), 0);
    assert_int_equal(compute_tensor_place(device, &w), PR_ERR_INVALID); /* once is enough */
    assert_int_equal(compute_tensor_place(device, &v), PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "w: "));
    assert_null(v.packed); /* unchanged */
    compute_tensor_unplace(&v);
    compute_tensor_unplace(&w);
    assert_null(w.packed);
    assert_int_equal(device->allocated, 0);
    compute_buffer_destroy(w.buffer);
    compute_device_close(device);
}

static void weights_travel_to_memory_that_the_host_cannot_touch(void **state)
{
    (void)state;
    static const float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct device *host = open_limited(0), *device = open_limited(40);
    struct backend distant = compute_backend_ref;
    distant.host = false;
    distant.buffer_create = far_create;
    distant.buffer_destroy = far_destroy;
    distant.buffer_write = far_write;
    device->backend = &distant;
    struct tensor w = {.role = TENSOR_WEIGHT, .rows = 1, .cols = 4, .offset = 16, .name = "w"};
    struct buffer *wrapped;
    assert_int_equal(compute_buffer_wrap(device, data, sizeof data, &wrapped), PR_ERR_INVALID);
    assert_int_equal(compute_buffer_wrap(host, data, sizeof data, &wrapped), PR_OK);
    w.buffer = wrapped;
    assert_int_equal(compute_tensor_place_size(device, &w), 16);
    assert_int_equal(compute_tensor_place(device, &w), PR_OK);
    assert_ptr_equal(compute_tensor_device(&w), device);
    assert_memory_equal((char *)w.buffer->handle + w.offset, data + 4, 16);
    assert_int_equal(device->allocated, 16);
    compute_tensor_unplace(&w);
    assert_ptr_equal(w.buffer, wrapped); /* home again */
    assert_int_equal(w.offset, 16);
    assert_int_equal(device->allocated, 0);
    compute_buffer_destroy(wrapped);
    compute_device_close(device);
    compute_device_close(host);
}

static void a_weight_of_one_host_device_can_be_read_by_another(void **state)
{
    (void)state;
    static const float data[4] = {1, 2, 3, 4};
    struct device *a = open_limited(0), *b = open_limited(1);
    struct tensor w = {.role = TENSOR_WEIGHT, .rows = 1, .cols = 4};
    struct buffer *wrapped;
    assert_int_equal(compute_buffer_wrap(a, data, sizeof data, &wrapped), PR_OK);
    w.buffer = wrapped;
    assert_int_equal(compute_tensor_place(b, &w), PR_OK);
    assert_ptr_equal(compute_tensor_device(&w), b);
    assert_ptr_equal(compute_tensor_data(&w), data); /* in place */
    compute_tensor_unplace(&w);
    assert_ptr_equal(compute_tensor_device(&w), a);
    compute_buffer_destroy(wrapped);
    compute_device_close(a);
    compute_device_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_ends_with_ref),
        cmocka_unit_test(auto_never_takes_a_software_gpu),
        cmocka_unit_test(unknown_devices_are_named_with_those_that_exist),
        cmocka_unit_test(buffers_are_zeroed_counted_and_limited),
        cmocka_unit_test(a_size_that_no_system_has_is_no_memory),
        cmocka_unit_test(reading_and_writing_stay_inside),
        cmocka_unit_test(weights_are_packed_where_that_pays),
        cmocka_unit_test(weights_travel_to_memory_that_the_host_cannot_touch),
        cmocka_unit_test(a_weight_of_one_host_device_can_be_read_by_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
