/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages, sequences and files. On ref, what was computed in another order or place is equal to the bit.
 */
#include "llm/kv_impl.h"
#include "tests/support/folder.h"
#include "tests/support/llm_rig.h"

#include "base/file.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 100, MAX_VOCAB = 512 };

static int32_t text[N]; /* the same ids in every test */

static struct llm_sequence *new_sequence(struct llm_rig *rig)
{
    struct llm_sequence *s;
    assert_int_equal(llm_sequence_create(rig->kv, NULL, &s), PR_OK);
    return s;
}

/* Reads text[from, to) and gives the logits of its last token. */
static void read_text(struct llm_rig *rig, struct llm_sequence *s, int from, int to, float *logits)
{
    struct llm_piece piece = {.n = to - from, .ids = text + from};
    int err = llm_decode(rig->decoder, s, &piece, 1, logits ? 1 : 0, logits, NULL);
    if (err < 0)
        fail_msg("%s", pr_error_message());
}

/* What a fresh sequence says behind text[0, to). */
static void expected(struct llm_rig *rig, int to, float *logits)
{
    struct llm_sequence *s = new_sequence(rig);
    read_text(rig, s, 0, to, logits);
    llm_sequence_destroy(s);
}

#define assert_same_logits(rig, a, b) assert_memory_equal(a, b, (size_t)(rig).hp->n_vocab * sizeof(float))

static void batches_of_any_size_agree(void **state)
{
    (void)state;
    const char *models[] = {"llama.f16.gguf", "qwen3.f16.gguf"};
    for (int m = 0; m < 2; m++) {
        float logits[3][MAX_VOCAB];
        const int32_t batches[3] = {1, 3, 256};
        for (int i = 0; i < 3; i++) {
            struct llm_rig rig;
            llm_rig_open(&rig, &(struct llm_rig_options){.model = models[m], .batch = batches[i]});
            expected(&rig, N, logits[i]);
            if (i > 0)
                assert_same_logits(rig, logits[0], logits[i]);
            llm_rig_close(&rig);
        }
    }
}

/* Pages scattered over the pool by two sequences that take turns, against one page that holds everything. */
static void scattered_pages_are_one_context(void **state)
{
    (void)state;
    struct llm_rig paged, whole;
    float a[MAX_VOCAB], b[MAX_VOCAB];
    llm_rig_open(&paged, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    llm_rig_open(&whole, &(struct llm_rig_options){.model = "llama.f16.gguf", .page_size = 512});
    struct llm_sequence *s = new_sequence(&paged), *other = new_sequence(&paged);
    for (int i = 0; i < N; i += 10) {
        read_text(&paged, s, i, i + 10, a);
        read_text(&paged, other, i / 2, i / 2 + 5, NULL);
        if (i == 50) /* and holes are filled again */
            assert_int_equal(llm_sequence_rollback(other, 3), PR_OK);
    }
    expected(&whole, N, b);
    assert_same_logits(paged, a, b);
    assert_int_not_equal(s->pages[1], s->pages[0] + 1);
    llm_sequence_destroy(s);
    llm_sequence_destroy(other);
    assert_int_equal(llm_kv_free_cells(paged.kv), llm_kv_cells(paged.kv));
    llm_rig_close(&paged);
    llm_rig_close(&whole);
}

static void rollback_forgets(void **state)
{
    (void)state;
    struct llm_rig rig;
    float a[MAX_VOCAB], b[MAX_VOCAB];
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    struct llm_sequence *s = new_sequence(&rig);
    read_text(&rig, s, 0, 40, NULL);
    read_text(&rig, s, 70, 100, NULL);
    assert_int_equal(llm_sequence_rollback(s, 40), PR_OK);
    assert_int_equal(llm_sequence_length(s), 40);
    assert_int_equal(llm_sequence_next_position(s), 40);
    read_text(&rig, s, 40, 60, a);
    expected(&rig, 60, b);
    assert_same_logits(rig, a, b);
    assert_int_equal(llm_sequence_rollback(s, 61), PR_ERR_INVALID);
    assert_int_equal(llm_sequence_rollback(s, -1), PR_ERR_INVALID);
    assert_int_equal(llm_sequence_rollback(s, 0), PR_OK);
    assert_int_equal(llm_kv_free_cells(rig.kv), llm_kv_cells(rig.kv));
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
}

static void forks_share_until_they_write(void **state)
{
    (void)state;
    struct llm_rig rig;
    float a[MAX_VOCAB], b[MAX_VOCAB], c[MAX_VOCAB];
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    struct llm_sequence *s = new_sequence(&rig), *fork, *third = new_sequence(&rig);
    read_text(&rig, s, 0, 40, NULL);
    int64_t free_cells = llm_kv_free_cells(rig.kv);
    assert_int_equal(llm_sequence_fork(s, &fork), PR_OK);
    assert_int_equal(llm_kv_free_cells(rig.kv), free_cells);
    read_text(&rig, fork, 80, 85, c); /* writes into the shared third page */
    assert_int_equal(llm_kv_free_cells(rig.kv), free_cells - 16);
    read_text(&rig, s, 40, 60, a);
    expected(&rig, 60, b);
    assert_same_logits(rig, a, b);

    read_text(&rig, third, 0, 40, NULL);
    read_text(&rig, third, 80, 85, b);
    assert_same_logits(rig, b, c);
    llm_sequence_destroy(s);
    assert_int_equal(llm_sequence_rollback(fork, 40), PR_OK); /* its owner is gone, the pages aren't */
    read_text(&rig, fork, 40, 60, c);
    assert_same_logits(rig, a, c);
    llm_sequence_destroy(fork);
    llm_sequence_destroy(third);
    assert_int_equal(llm_kv_free_cells(rig.kv), llm_kv_cells(rig.kv));
    llm_rig_close(&rig);
}

static void a_full_pool_changes_nothing(void **state)
{
    (void)state;
    struct llm_rig rig;
    float a[MAX_VOCAB], b[MAX_VOCAB];
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .cells = 64, .batch = 16});
    struct llm_sequence *s = new_sequence(&rig);
    read_text(&rig, s, 0, 20, NULL);
    struct llm_piece rest = {.n = 60, .ids = text + 20};
    assert_int_equal(llm_decode(rig.decoder, s, &rest, 1, 0, NULL, NULL), PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "--ctx"));
    assert_int_equal(llm_sequence_length(s), 20);
    assert_int_equal(llm_kv_free_cells(rig.kv), 32);
    read_text(&rig, s, 20, 64, a);
    llm_sequence_destroy(s);
    expected(&rig, 64, b);
    assert_same_logits(rig, a, b);
    llm_rig_close(&rig);
}

static void wrong_input_is_refused(void **state)
{
    (void)state;
    struct llm_rig rig;
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    struct llm_sequence *s = new_sequence(&rig);
    float row[4096] = {0};
    int32_t too_large = rig.hp->n_vocab, negative = -1, position[4] = {-1, 0, 0, 0};
    struct llm_piece wrong[] = {{.n = 1, .ids = &too_large},
                                {.n = 1, .ids = &negative},
                                {.n = 1},
                                {.n = 1, .ids = text, .rows = row},
                                {.n = -1, .ids = text},
                                {.n = 1, .ids = text, .position = position, .advance = 1},
                                {.n = N, .ids = text, .bidirectional = true, .advance = -1, .position = position}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(llm_decode(rig.decoder, s, &wrong[i], 1, 0, NULL, NULL), PR_ERR_INVALID);
    struct llm_piece good = {.n = 3, .ids = text};
    assert_int_equal(llm_decode(rig.decoder, s, &good, 1, 4, row, NULL), PR_ERR_INVALID);
    assert_int_equal(llm_sequence_length(s), 0);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
}

static void stopping_rolls_back(void **state)
{
    (void)state;
    struct llm_rig rig;
    float a[MAX_VOCAB], b[MAX_VOCAB];
    struct base_cancel cancel = {0};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .batch = 8});
    struct llm_sequence *s = new_sequence(&rig);
    read_text(&rig, s, 0, 30, NULL);
    atomic_store(&cancel.requested, true);
    struct llm_piece rest = {.n = 40, .ids = text + 30};
    assert_int_equal(llm_decode(rig.decoder, s, &rest, 1, 0, NULL, &cancel), PR_ERR_CANCELLED);
    assert_int_equal(llm_sequence_length(s), 30);
    /* A device that is lost in the third of five batches leaves the sequence where it was, too. */
    rig.device->options.lose_after = rig.device->runs + 3;
    assert_int_equal(llm_decode(rig.decoder, s, &rest, 1, 0, NULL, NULL), PR_ERR_DEVICE_LOST);
    assert_int_equal(llm_sequence_length(s), 30);
    rig.device->options.lose_after = 0;
    read_text(&rig, s, 30, 70, a);
    expected(&rig, 70, b);
    assert_same_logits(rig, a, b);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
}

/* f16 rounds keys and values by 2^-12 of themselves at most, q8_0 values by 1/254 of the largest of 32: the first moves these
 * models' log-probabilities by less than 0.01, the second by less than 0.05. */
static void cache_types_round_as_they_should(void **state)
{
    (void)state;
    static const struct {
        enum type key, value;
        float tolerance;
    } types[] = {{TYPE_F16, TYPE_F16, 0.01f}, {TYPE_F16, TYPE_Q8_0, 0.05f}, {TYPE_Q8_0, TYPE_Q8_0, 0.1f}};
    float plain[MAX_VOCAB], rounded[MAX_VOCAB];
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct llm_rig rig;
        llm_rig_open(&rig, &(struct llm_rig_options){.model = "qwen3.f16.gguf"});
        expected(&rig, N, plain);
        llm_rig_close(&rig);
        llm_rig_open(&rig, &(struct llm_rig_options){
                               .model = "qwen3.f16.gguf", .key_type = types[i].key, .value_type = types[i].value});
        expected(&rig, N, rounded);
        llm_rig_log_softmax(plain, rig.hp->n_vocab);
        llm_rig_log_softmax(rounded, rig.hp->n_vocab);
        float worst = llm_rig_difference(plain, rounded, rig.hp->n_vocab);
        print_message("keys %s, values %s: %.5f\n", compute_type(types[i].key)->name,
                      compute_type(types[i].value)->name, (double)worst);
        assert_true(worst > 0 && worst <= types[i].tolerance);
        llm_rig_close(&rig);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static char path[64];

static int make_folder(void **state)
{
    llm_rig_ids(text, N, 200, 7);
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/session", test_folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(test_folder);
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *dir = opendir(test_folder);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void restored_sequences_go_on(void **state)
{
    (void)state;
    static const enum type types[][2] = {{TYPE_F32, TYPE_F32}, {TYPE_F16, TYPE_Q8_0}};
    for (int t = 0; t < 2; t++) {
        struct llm_rig rig;
        float a[MAX_VOCAB], b[MAX_VOCAB];
        struct llm_rig_options options = {
            .model = "qwen3.f16.gguf", .key_type = types[t][0], .value_type = types[t][1]};
        llm_rig_open(&rig, &options);
        struct llm_sequence *s = new_sequence(&rig), *other = new_sequence(&rig);
        read_text(&rig, other, 0, 5, NULL);
        read_text(&rig, s, 0, 45, NULL);
        assert_int_equal(llm_sequence_save(s, path, 42, "extra", 5), PR_OK);
        assert_int_equal(files_in_folder(), 1);
        read_text(&rig, s, 45, N, a);
        llm_sequence_destroy(s);
        llm_sequence_destroy(other);
        llm_rig_close(&rig);

        llm_rig_open(&rig, &options); /* as if in another process */
        void *extra;
        size_t extra_size;
        assert_int_equal(llm_sequence_restore(rig.kv, path, 42, &s, &extra, &extra_size), PR_OK);
        assert_int_equal(extra_size, 5);
        assert_memory_equal(extra, "extra", 5);
        base_free(extra);
        assert_int_equal(llm_sequence_length(s), 45);
        assert_int_equal(llm_sequence_next_position(s), 45);
        read_text(&rig, s, 45, N, b);
        assert_same_logits(rig, a, b);
        llm_sequence_destroy(s);
        llm_rig_close(&rig);
    }
}

static int try_restore(struct llm_kv *kv, uint64_t fingerprint)
{
    struct llm_sequence *s;
    void *extra;
    size_t extra_size;
    int64_t free_cells = llm_kv_free_cells(kv);
    int err = llm_sequence_restore(kv, path, fingerprint, &s, &extra, &extra_size);
    if (err == PR_OK)
        llm_sequence_destroy(s);
    else
        assert_null(s);
    base_free(extra);
    assert_int_equal(llm_kv_free_cells(kv), free_cells);
    return err;
}

static void write_file(const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    struct llm_rig rig;
    struct base_buf file = {0};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    struct llm_sequence *s = new_sequence(&rig);
    read_text(&rig, s, 0, 20, NULL);
    assert_int_equal(llm_sequence_save(s, path, 42, NULL, 0), PR_OK);
    llm_sequence_destroy(s);
    assert_int_equal(base_file_read(path, 1 << 24, &file), PR_OK);
    assert_int_equal(try_restore(rig.kv, 42), PR_OK);
    assert_int_equal(try_restore(rig.kv, 43), PR_ERR_INVALID);

    for (size_t bit = 0; bit < 8 * file.len;
         bit += bit < 8 * 300 ? 1 : 1013) { /* every one of the header, some of the rest */
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
        write_file(file.data, file.len);
        int err = try_restore(rig.kv, 42);
        if (err >= 0)
            fail_msg("bit %zu may be wrong", bit);
        assert_non_null(strstr(pr_error_message(), path));
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t len = 0; len < file.len; len += len < 300 ? 1 : 509) {
        write_file(file.data, len);
        assert_true(try_restore(rig.kv, 42) < 0);
    }
    base_buf_finish(&file);
    unlink(path);
    assert_int_equal(try_restore(rig.kv, 42), PR_ERR_IO);
    llm_rig_close(&rig);
}

static void files_bind_to_their_cache(void **state)
{
    (void)state;
    struct llm_rig rig;
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    struct llm_sequence *s = new_sequence(&rig);
    read_text(&rig, s, 0, 50, NULL);
    assert_int_equal(llm_sequence_save(s, path, 42, NULL, 0), PR_OK);
    assert_int_equal(llm_sequence_save(s, "/nowhere/at/all", 42, NULL, 0), PR_ERR_IO);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);

    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .key_type = TYPE_F16});
    assert_int_equal(try_restore(rig.kv, 42), PR_ERR_INVALID);
    llm_rig_close(&rig);
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .cells = 32});
    assert_int_equal(try_restore(rig.kv, 42), PR_ERR_NOMEM);
    llm_rig_close(&rig);
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "qwen3.f16.gguf"});
    assert_int_equal(try_restore(rig.kv, 42), PR_ERR_INVALID);
    llm_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_any_size_agree),
        cmocka_unit_test(scattered_pages_are_one_context),
        cmocka_unit_test(rollback_forgets),
        cmocka_unit_test(forks_share_until_they_write),
        cmocka_unit_test(a_full_pool_changes_nothing),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(stopping_rolls_back),
        cmocka_unit_test(cache_types_round_as_they_should),
        cmocka_unit_test(restored_sequences_go_on),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(files_bind_to_their_cache),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
