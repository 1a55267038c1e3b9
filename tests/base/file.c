/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static void whole_files(void **state)
{
    (void)state;
    char path[] = "/tmp/pagereel-file-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    char data[40000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    assert_int_equal(write(fd, data, sizeof data), sizeof data);
    close(fd);

    struct base_buf b = {0};
    base_buf_puts(&b, "x");
    assert_int_equal(base_file_read(path, sizeof data - 1, &b), PR_ERR_NOMEM);
    assert_int_equal(b.len, 1);
    assert_int_equal(base_file_read(path, sizeof data, &b), PR_OK);
    assert_int_equal(b.len, 1 + sizeof data);
    assert_memory_equal(b.data + 1, data, sizeof data);
    base_buf_finish(&b);
    unlink(path);

    assert_int_equal(base_file_read(path, 10, &b), PR_ERR_NOT_FOUND);
    assert_non_null(strstr(pr_error_message(), path));
    assert_int_equal(base_file_read("/tmp", 10, &b), PR_ERR_IO);
    base_buf_finish(&b);
}

static void mapped_files(void **state)
{
    (void)state;
    struct base_map map;
    FILE *file = fopen(test_file("file"), "w");
    assert_non_null(file);
    fputs("mapped", file);
    fclose(file);
    assert_int_equal(base_file_map(test_file("file"), &map), PR_OK);
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "mapped", 6);
    base_file_unmap(&map);
    assert_null(map.data);
    base_file_unmap(&map);

    fclose(fopen(test_file("empty"), "w"));
    assert_int_equal(base_file_map(test_file("empty"), &map), PR_OK);
    assert_true(!map.data && map.size == 0);
    assert_int_equal(base_file_map(test_file("none"), &map), PR_ERR_NOT_FOUND);
    assert_int_equal(base_file_map(test_folder, &map), PR_ERR_IO);
    assert_non_null(strstr(pr_error_message(), "is a folder"));
    assert_int_equal(mkfifo(test_file("fifo"), 0600), 0);
    assert_int_equal(base_file_map(test_file("fifo"), &map), PR_ERR_IO);
    assert_non_null(strstr(pr_error_message(), "not an ordinary file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
        cmocka_unit_test(mapped_files),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
