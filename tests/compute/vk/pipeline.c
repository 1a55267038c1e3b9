/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pipeline cache on disk: made, used again, and passed over when it is damaged or somebody else's.
 */
#include "tests/compute/vk/fixture.h"
#include "tests/support/folder.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs something on a device that keeps its pipelines in `folder`. */
static void run_once(void)
{
    struct device_options options = {.cache_dir = test_folder};
    struct device *ref, *device = open_vulkan("", &options);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    struct pass *pass = compute_pass_create((struct device *[]){device, ref}, 2);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 3, 8, "x");
    struct tensor *y = op_scale(pass, x, 2);
    compute_pass_output(pass, y);
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    fill(compute_pass_host(pass, x), 24, 0);
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    for (int i = 0; i < 24; i++)
        assert_true(((float *)compute_pass_host(pass, y))[i] == 2 * number(i));
    compute_pass_destroy(pass);
    compute_device_close(device);
    compute_device_close(ref);
}

/* The one file in the folder; NULL: none. More than one, such as a temporary one left behind, is a failure. */
static char *cache_file(void)
{
    static char path[512];
    int n = 0;
    DIR *dir = opendir(test_folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", test_folder, e->d_name);
        n++;
    }
    closedir(dir);
    assert_true(n <= 1);
    return n ? path : NULL;
}

static void read_cache(struct base_buf *out)
{
    const char *path = cache_file();
    assert_non_null(path);
    assert_int_equal(base_file_read(path, 64 << 20, out), PR_OK);
}

static void write_cache(const char *data, size_t size)
{
    FILE *file = fopen(cache_file(), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static int tear_down(void **state)
{
    (void)state;
    if (cache_file())
        remove(cache_file());
    return rmdir(test_folder);
}

static void a_file_is_left_and_read_again(void **state)
{
    (void)state;
    struct base_buf first = {0}, second = {0};
    run_once();
    read_cache(&first);
    assert_true(first.len > 32);
    assert_memory_equal(first.data, "PRVKPC1", 8);
    run_once();
    read_cache(&second);
    assert_int_equal(first.len, second.len);
    base_buf_finish(&first);
    base_buf_finish(&second);
}

/* Whatever the file holds, the device opens, computes, and leaves a good file. */
static void damage_is_passed_over(void **state)
{
    (void)state;
    struct base_buf good = {0}, now = {0};
    run_once();
    read_cache(&good);
    for (size_t at = 0; at < good.len; at += at < 96 ? 5 : good.len / 7 + 1) {
        char *bad = malloc(good.len);
        assert_non_null(bad);
        memcpy(bad, good.data, good.len);
        bad[at] ^= 0x55;
        write_cache(bad, good.len);
        free(bad);
        run_once();
        read_cache(&now);
        assert_memory_equal(now.data, "PRVKPC1", 8);
        base_buf_finish(&now);
    }
    write_cache(good.data, good.len / 2);
    run_once();
    write_cache("", 0);
    run_once();
    base_buf_finish(&good);
}

static void a_folder_that_cannot_be_written_is_no_error(void **state)
{
    (void)state;
    struct device_options options = {.cache_dir = "/proc/nowhere"};
    struct device *device = open_vulkan("", &options);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_left_and_read_again),
        cmocka_unit_test(damage_is_passed_over),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_no_error),
    };
    return cmocka_run_group_tests(tests, test_folder_make, tear_down);
}
