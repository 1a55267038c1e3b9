/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files of shallow keys: what is added is found and scores as it should, also after opening again; what is damaged, cut or of another
 * model isn't there; one process adds at a time.
 */
#include "memory/keys.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { KV = 2, HEAD = 16, D = KV * HEAD, N_HEAD = 4, N = 5, RAW = 40 };
enum { DIRECTORY = 40 + 4 * 24 + 16 }; /* bytes of that of four segments */

static char path[] = "/tmp/pagereel-keys-XXXXXX";

static struct keys_params params_of(uint64_t model, int32_t d_head)
{
    return (struct keys_params){.setup = {1, 2, 3}, .model = model, .layer = 4, .n_kv = KV, .d_head = d_head};
}

static float value(uint64_t segment, int i)
{
    return sinf((float)(segment * 31 + (uint64_t)i));
}

static void add(struct memory_keys *keys, uint64_t segment, int d)
{
    float rows[N * KV * 32];
    for (int i = 0; i < N * d; i++)
        rows[i] = value(segment, i);
    assert_int_equal(memory_keys_add(keys, segment, RAW, rows, N), PR_OK);
}

/* Scores by their definition. */
static void check(struct memory_keys *keys, uint64_t segment, int d_head, float tolerance)
{
    enum { Q = 2 };
    uint32_t n;
    float queries[Q * N_HEAD * 32], scores[N];
    for (int i = 0; i < Q * N_HEAD * d_head; i++)
        queries[i] = cosf((float)i * 1.7f);
    assert_true(memory_keys_find(keys, segment, 1000, &n));
    assert_int_equal(n, N);
    assert_true(memory_keys_find(keys, segment, 3, &n));
    assert_int_equal(n, 3);
    memory_keys_scores(keys, segment, queries, Q, N_HEAD, N, scores);
    for (int i = 0; i < N; i++) {
        float best = -INFINITY;
        for (int h = 0; h < Q * N_HEAD; h++) {
            float sum = 0;
            for (int j = 0; j < d_head; j++)
                sum +=
                    queries[h * d_head + j] * value(segment, i * KV * d_head + h % N_HEAD / (N_HEAD / KV) * d_head + j);
            best = fmaxf(best, sum);
        }
        assert_true(fabsf(scores[i] - best) < tolerance);
    }
}

static struct memory_keys *open_keys(uint64_t model, int32_t d_head)
{
    struct memory_keys *keys;
    struct keys_params params = params_of(model, d_head);
    assert_int_equal(memory_keys_open(path, &params, &keys), PR_OK);
    return keys;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int heads[] = {16, 10}; /* q8_0; f16 */
    for (int t = 0; t < 2; t++) {
        uint32_t n;
        unlink(path);
        struct memory_keys *keys = open_keys(7, heads[t]);
        for (uint64_t segment = 9; segment > 5; segment--)
            add(keys, segment, KV * heads[t]);
        check(keys, 7, heads[t], t ? 0.01f : 0.1f);
        memory_keys_close(keys);
        keys = open_keys(7, heads[t]);
        assert_false(memory_keys_find(keys, 5, 1000, &n));
        add(keys, 3, KV * heads[t]);
        for (uint64_t segment = 6; segment < 10; segment++)
            check(keys, segment, heads[t], t ? 0.01f : 0.1f);
        check(keys, 3, heads[t], t ? 0.01f : 0.1f);
        assert_true(memory_keys_check(keys, 7, RAW));
        assert_false(memory_keys_check(keys, 8, RAW + 1)); /* it was merged */
        assert_false(memory_keys_check(keys, 100, RAW));
        assert_true(memory_keys_find(keys, 7, 1000, &n) && memory_keys_find(keys, 9, 1000, &n));
        assert_false(memory_keys_find(keys, 8, 1000, &n));
        memory_keys_close(keys);
        keys = open_keys(8, heads[t]); /* another model */
        assert_false(memory_keys_find(keys, 7, 1000, &n));
        memory_keys_close(keys);
    }
}

static void test_one_adds(void **state)
{
    (void)state;
    uint32_t n;
    unlink(path);
    struct memory_keys *first = open_keys(7, HEAD);
    add(first, 1, D);
    struct memory_keys *second = open_keys(7, HEAD);
    assert_true(memory_keys_can_add(first) && !memory_keys_can_add(second));
    check(second, 1, HEAD, 0.1f);
    add(first, 2, D);
    assert_false(memory_keys_find(second, 2, 10, &n));
    memory_keys_done_adding(first);
    struct memory_keys *third = open_keys(7, HEAD);
    assert_true(memory_keys_can_add(third));
    check(third, 2, HEAD, 0.1f);
    check(first, 1, HEAD, 0.1f);
    check(first, 2, HEAD, 0.1f);    /* what it has added itself */
    memory_keys_done_adding(third); /* whose file was mapped from the beginning */
    struct memory_keys *fourth = open_keys(7, HEAD);
    assert_true(memory_keys_can_add(fourth));
    memory_keys_close(fourth);
    memory_keys_close(first);
    memory_keys_close(second);
    memory_keys_close(third);
}

/* Damage that shows when keys are asked for costs the file, which the next one makes anew. */
static void test_damage_shows_late(void **state)
{
    (void)state;
    uint32_t n;
    unlink(path);
    struct memory_keys *keys = open_keys(7, HEAD);
    add(keys, 1, D);
    add(keys, 2, D);
    memory_keys_close(keys);
    FILE *file = fopen(path, "r+b");
    fseek(file, 128 + 40 + 5, SEEK_SET); /* in the first rows */
    fputc(0x7e, file);
    fclose(file);
    keys = open_keys(7, HEAD);
    memory_keys_done_adding(keys);
    assert_true(memory_keys_has(keys, 1) && memory_keys_has(keys, 2));
    assert_false(memory_keys_find(keys, 1, 10, &n));
    assert_int_equal(n, 0);
    assert_false(memory_keys_has(keys, 1));
    check(keys, 2, HEAD, 0.1f);
    memory_keys_close(keys);
    keys = open_keys(7, HEAD);
    assert_false(memory_keys_has(keys, 2));
    add(keys, 1, D);
    check(keys, 1, HEAD, 0.1f);
    memory_keys_close(keys);
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* A file that ends with a directory isn't walked over; what is added behind it counts, too, and an open library holds no descriptors. */
static void test_directory(void **state)
{
    (void)state;
    struct stat without, with;
    int descriptors = count_descriptors();
    unlink(path);
    struct memory_keys *keys = open_keys(7, HEAD);
    for (uint64_t segment = 4; segment > 0; segment--)
        add(keys, segment, D);
    assert_int_equal(stat(path, &without), 0);
    memory_keys_done_adding(keys);
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(stat(path, &with), 0);
    assert_int_equal(with.st_size - without.st_size, DIRECTORY);
    check(keys, 1, HEAD, 0.1f);
    memory_keys_close(keys);

    keys = open_keys(7, HEAD);
    memory_keys_done_adding(keys);
    memory_keys_close(keys);
    assert_int_equal(stat(path, &without), 0);
    assert_int_equal(without.st_size, with.st_size); /* nothing new, no other directory */

    FILE *file = fopen(path, "r+b"); /* the head of the first record: a walk would end there */
    fseek(file, 128, SEEK_SET);
    fputc(0x7e, file);
    fclose(file);
    keys = open_keys(7, HEAD);
    check(keys, 1, HEAD, 0.1f);
    check(keys, 3, HEAD, 0.1f);
    add(keys, 9, D);
    add(keys, 2, D);
    memory_keys_done_adding(keys);
    memory_keys_close(keys);
    keys = open_keys(7, HEAD);
    check(keys, 9, HEAD, 0.1f);
    check(keys, 2, HEAD, 0.1f);
    check(keys, 3, HEAD, 0.1f);
    uint32_t n;
    assert_false(memory_keys_find(keys, 4, 10, &n)); /* the damaged one */
    memory_keys_close(keys);
}

/* Whatever happens to the file, what is found is right. */
static void damage(bool directory)
{
    char good[4096], bad[4096];
    unlink(path);
    struct memory_keys *keys = open_keys(7, HEAD);
    for (uint64_t segment = 1; segment < 5; segment++)
        add(keys, segment, D);
    memory_keys_close(keys);
    FILE *file = fopen(path, "rb");
    size_t size = fread(good, 1, sizeof good, file);
    fclose(file);
    assert_true(size > DIRECTORY && size < sizeof good);
    size -= directory ? 0 : DIRECTORY;
    for (size_t at = 0; at < size + 40; at += 13) {
        bool cut = at >= size;
        size_t left = cut ? (at - size) * size / 40 : size;
        memcpy(bad, good, size);
        if (!cut)
            bad[at] ^= 0x41;
        file = fopen(path, "wb");
        fwrite(bad, 1, left, file);
        fclose(file);
        keys = open_keys(7, HEAD);
        for (uint64_t segment = 1; segment < 5; segment++) {
            uint32_t n;
            if (memory_keys_find(keys, segment, 10, &n))
                check(keys, segment, HEAD, 0.1f);
            else
                add(keys, segment, D);
        }
        for (uint64_t segment = 1; segment < 5; segment++)
            check(keys, segment, HEAD, 0.1f);
        memory_keys_close(keys);
        keys = open_keys(7, HEAD);
        for (uint64_t segment = 1; segment < 5; segment++)
            check(keys, segment, HEAD, 0.1f);
        memory_keys_close(keys);
    }
}

static void test_damage(void **state)
{
    (void)state;
    damage(false);
    damage(true);
}

static int make_path(void **state)
{
    (void)state;
    close(mkstemp(path));
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_one_adds),
                                       cmocka_unit_test(test_directory), cmocka_unit_test(test_damage_shows_late),
                                       cmocka_unit_test(test_damage)};
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
