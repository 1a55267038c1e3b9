/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that are damaged in every way that we could think of: each is refused with one line that names the file, and nothing
 * is read outside of it.
 */
#include "model/gguf_parse.h"

#include "tests/support/gguf_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void truncated_at_every_byte(void **state)
{
    (void)state;
    struct base_buf bytes = gguf_sample();
    size_t end = bytes.len - (32 - sizeof gguf_sample_b % 32); /* the last padding isn't needed */
    for (size_t n = 0; n < end; n++) {
        assert_int_equal(gguf_sample_open(bytes.data, n), PR_ERR_FORMAT);
        gguf_sample_message(GGUF_SAMPLE_NAME, n ? "" : "is empty");
        if (n >= 4)
            gguf_sample_message(GGUF_SAMPLE_NAME, "get it again");
    }
    assert_int_equal(gguf_sample_open(bytes.data, end), PR_OK);
    base_buf_finish(&bytes);
}

/* Some flips are harmless (another value, another name), none may crash, and each failure names the file. */
static void every_bit_flipped(void **state)
{
    (void)state;
    struct base_buf bytes = gguf_sample();
    size_t refused = 0;
    for (size_t i = 0; i < bytes.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
            int err = gguf_sample_open(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            if (err < 0) {
                gguf_sample_message(GGUF_SAMPLE_NAME, "");
                refused++;
            }
            if (i < 8)
                assert_true(err < 0 || (uint8_t)bytes.data[4] == 2); /* magic and version; 3 may become 2 */
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
        }
    assert_true(refused > 1000);
    base_buf_finish(&bytes);
}

/* Every byte of the header set to extremes: lengths and counts become huge or zero. */
static void every_byte_replaced(void **state)
{
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct base_buf bytes = gguf_sample();
    for (size_t i = 0; i < bytes.len; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            char kept = bytes.data[i];
            bytes.data[i] = (char)values[v];
            int err = gguf_sample_open(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            if (err < 0)
                gguf_sample_message(GGUF_SAMPLE_NAME, "");
            bytes.data[i] = kept;
        }
    /* And eight at a time, as a length that lies. */
    for (size_t i = 4; i + 8 <= bytes.len; i++)
        for (size_t v = 0; v < 2; v++) {
            char kept[8];
            memcpy(kept, bytes.data + i, 8);
            memset(bytes.data + i, v ? 0xff : 0, 8);
            int err = gguf_sample_open(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            memcpy(bytes.data + i, kept, 8);
        }
    base_buf_finish(&bytes);
}

/* Each row damages a file that begins with one key and ends with one tensor. */
static void version_0(struct gguf_writer *w)
{
    w->version = 0;
}
static void version_1(struct gguf_writer *w)
{
    w->version = 1;
}
static void version_4(struct gguf_writer *w)
{
    w->version = 4;
}
static void version_swapped(struct gguf_writer *w)
{
    w->version = 3u << 24;
}
static void many_keys(struct gguf_writer *w)
{
    w->n_keys = UINT64_MAX;
}
static void one_key_more(struct gguf_writer *w)
{
    w->n_keys++;
}
static void many_tensors(struct gguf_writer *w)
{
    w->n_tensors = 1ull << 63;
}
static void one_tensor_more(struct gguf_writer *w)
{
    w->n_tensors++;
}
static void key_empty(struct gguf_writer *w)
{
    gguf_writer_u32(w, "", 1);
}
static void key_control(struct gguf_writer *w)
{
    gguf_writer_u32(w, "a\033[2Jb", 1);
}
static void key_not_ascii(struct gguf_writer *w)
{
    gguf_writer_u32(w, "k\xc3\xa9y", 1);
}
static void key_twice(struct gguf_writer *w)
{
    gguf_writer_u32(w, "other", 1);
    gguf_writer_string(w, "first", "again");
}
static void key_long(struct gguf_writer *w)
{
    char *name = malloc(65537);
    memset(name, 'k', 65536);
    name[65536] = '\0';
    gguf_writer_u32(w, name, 1);
    free(name);
}
static void key_kind(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", (enum gguf_kind)13, "\0\0\0\0\0\0\0\0", 8);
}
static void bool_two(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_BOOL, "\2", 1);
}
static void bools_two(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_BOOL, 3, "\0\1\2", 3);
}
static void string_long(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_STRING, &(uint64_t){1ull << 60}, 8);
}
static void string_past_end(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_STRING, &(uint64_t){1 << 20}, 8);
}
static void array_nested(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_ARRAY, 1, "\4\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0", 16);
}
static void array_kind(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", (enum gguf_kind)99, 0, NULL, 0);
}
static void array_count(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_U8, UINT64_MAX, "", 1);
}
static void array_count_wraps(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_U64, 1ull << 61, "", 1);
}
static void array_strings_count(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_STRING, 1 << 30, "", 1);
}
static void array_string_long(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_STRING, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}
static void alignment_0(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 0);
}
static void alignment_4(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 4);
}
static void alignment_33(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 33);
}
static void alignment_kind(struct gguf_writer *w)
{
    gguf_writer_bool(w, "general.alignment", true);
}
static void alignment_vast(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 1u << 31);
}

static void info(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, uint64_t ne0, uint64_t ne1,
                 uint64_t offset)
{
    uint64_t ne[16] = {ne0, ne1, 1, 1, 1, 1, 1, 1};
    gguf_writer_tensor_info(w, name, type, n_dims, ne, offset);
}
static void tensor_no_name(struct gguf_writer *w)
{
    info(w, "", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_control(struct gguf_writer *w)
{
    info(w, "a\tb", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_long_name(struct gguf_writer *w)
{
    info(w, "0123456789012345678901234567890123456789012345678901234567890123", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_twice(struct gguf_writer *w)
{
    info(w, "t", TYPE_F32, 1, 1, 1, 32);
}
static void dims_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 0, 1, 1, 32);
}
static void dims_5(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 5, 1, 1, 32);
}
static void ne_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 0, 1, 32);
}
static void ne_1_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1, 0, 32);
}
static void ne_negative(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1, UINT64_MAX, 32);
}
static void ne_wraps(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1ull << 32, 1ull << 32, 32);
}
static void ne_wraps_bytes(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1ull << 31, 1ull << 31, 32);
}
static void type_removed(struct gguf_writer *w)
{
    info(w, "u", 4, 1, 32, 1, 32);
}
static void type_foreign(struct gguf_writer *w)
{
    info(w, "u", 16, 1, 256, 1, 32);
}
static void type_unknown(struct gguf_writer *w)
{
    info(w, "u", 0x80000000u, 1, 32, 1, 32);
}
static void part_block(struct gguf_writer *w)
{
    info(w, "u", TYPE_Q4_K, 2, 128, 2, 32);
}
static void offset_odd(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 33);
}
static void offset_far(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 1 << 20);
}
static void offset_wraps(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 8, 1, UINT64_MAX - 31);
}
static void size_past_end(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1 << 20, 1, 32);
}
static void overlap(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 0);
}
static void split_kind(struct gguf_writer *w)
{
    gguf_writer_string(w, "split.count", "3");
}
static void split_no_missing(struct gguf_writer *w)
{
    gguf_writer_u32(w, "split.count", 3);
}
static void split_memory(struct gguf_writer *w)
{
    gguf_writer_split(w, 0, 2, 2);
}
static void split_second(struct gguf_writer *w)
{
    gguf_writer_split(w, 1, 2, 2);
}
static void split_past(struct gguf_writer *w)
{
    gguf_writer_split(w, 5, 2, 2);
}

static const struct damage {
    const char *name;
    void (*make)(struct gguf_writer *w);
    int err;
    const char *message;
} damages[] = {
    {"version 0", version_0, PR_ERR_UNSUPPORTED, "big-endian"},
    {"version 1", version_1, PR_ERR_UNSUPPORTED, "GGUF version 1, but pagereel reads 2 and 3; get"},
    {"version 4", version_4, PR_ERR_UNSUPPORTED, "update pagereel"},
    {"version swapped", version_swapped, PR_ERR_UNSUPPORTED, "big-endian"},
    {"2^64 keys", many_keys, PR_ERR_FORMAT, "claims 18446744073709551615 keys"},
    {"a key too many", one_key_more, PR_ERR_FORMAT, "the file is "},
    {"2^63 tensors", many_tensors, PR_ERR_FORMAT, "claims 9223372036854775808 tensors"},
    {"a tensor too many", one_tensor_more, PR_ERR_FORMAT, "the file is "},
    {"no key name", key_empty, PR_ERR_FORMAT, "a key whose name"},
    {"control characters in a key", key_control, PR_ERR_FORMAT, "a key whose name"},
    {"a key that isn't ASCII", key_not_ascii, PR_ERR_FORMAT, "a key whose name"},
    {"a key twice", key_twice, PR_ERR_FORMAT, "key \"first\" is there twice"},
    {"a key of 65536 bytes", key_long, PR_ERR_FORMAT, "a key whose name"},
    {"unknown kind", key_kind, PR_ERR_FORMAT, "key \"odd\" has the unknown kind 13"},
    {"a bool of 2", bool_two, PR_ERR_FORMAT, "key \"odd\" is a bool of value 2"},
    {"bools of 2", bools_two, PR_ERR_FORMAT, "key \"odd\" is a bool of value 2"},
    {"a vast string", string_long, PR_ERR_FORMAT, "key \"odd\" claims a text of 1152921504606846976 bytes"},
    {"a string past the end", string_past_end, PR_ERR_FORMAT, "ends inside key \"odd\""},
    {"array of arrays", array_nested, PR_ERR_UNSUPPORTED, "array of arrays"},
    {"array of an unknown kind", array_kind, PR_ERR_FORMAT, "array of the unknown kind 99"},
    {"vast array", array_count, PR_ERR_FORMAT, "claims 18446744073709551615 elements"},
    {"array whose size wraps", array_count_wraps, PR_ERR_FORMAT, "claims 2305843009213693952 elements"},
    {"vast array of strings", array_strings_count, PR_ERR_FORMAT, "claims 1073741824 elements"},
    {"vast string in an array", array_string_long, PR_ERR_FORMAT, "claims a text of 18446744073709551615 bytes"},
    {"alignment 0", alignment_0, PR_ERR_FORMAT, "\"general.alignment\" is 0"},
    {"alignment 4", alignment_4, PR_ERR_FORMAT, "\"general.alignment\" is 4"},
    {"alignment 33", alignment_33, PR_ERR_FORMAT, "\"general.alignment\" is 33"},
    {"alignment of another kind", alignment_kind, PR_ERR_FORMAT, "of kind bool instead of u32"},
    {"vast alignment", alignment_vast, PR_ERR_FORMAT, "padding"},
    {"no tensor name", tensor_no_name, PR_ERR_FORMAT, "a tensor whose name"},
    {"control characters in a tensor name", tensor_control, PR_ERR_FORMAT, "a tensor whose name"},
    {"tensor name of 64 bytes", tensor_long_name, PR_ERR_FORMAT, "a tensor whose name"},
    {"a tensor twice", tensor_twice, PR_ERR_FORMAT, "tensor \"t\" is there twice"},
    {"0 dimensions", dims_0, PR_ERR_FORMAT, "\"u\" has 0 dimensions"},
    {"5 dimensions", dims_5, PR_ERR_FORMAT, "\"u\" has 5 dimensions"},
    {"0 columns", ne_0, PR_ERR_FORMAT, "\"u\" has 0 elements"},
    {"0 rows", ne_1_0, PR_ERR_FORMAT, "\"u\" has 0 elements"},
    {"-1 rows", ne_negative, PR_ERR_FORMAT, "\"u\" has 18446744073709551615 elements"},
    {"elements that wrap", ne_wraps, PR_ERR_FORMAT, "\"u\" is larger than any memory"},
    {"bytes that wrap", ne_wraps_bytes, PR_ERR_FORMAT, "\"u\""},
    {"removed type", type_removed, PR_ERR_UNSUPPORTED, "\"u\" has type 4 (removed or unknown)"},
    {"type of others", type_foreign, PR_ERR_UNSUPPORTED, "\"u\" has type 16 (IQ2_XXS)"},
    {"unknown type", type_unknown, PR_ERR_UNSUPPORTED, "\"u\" has type 2147483648"},
    {"half a block", part_block, PR_ERR_FORMAT, "rows of 128 elements, not a multiple of Q4_K's 256"},
    {"offset not aligned", offset_odd, PR_ERR_FORMAT, "offset 33, not a multiple of 32"},
    {"offset past the end", offset_far, PR_ERR_FORMAT, "\"u\" (4 bytes at 1048576) reaches past the end"},
    {"offset that wraps", offset_wraps, PR_ERR_FORMAT, "reaches past the end"},
    {"tensor past the end", size_past_end, PR_ERR_FORMAT, "\"u\" (4194304 bytes at 32) reaches past the end"},
    {"tensors that overlap", overlap, PR_ERR_FORMAT, "tensors \"t\" and \"u\" overlap"},
    {"split.count of another kind", split_kind, PR_ERR_FORMAT, "\"split.count\" is of kind string"},
    {"split.no missing", split_no_missing, PR_ERR_FORMAT, "no \"split.no\""},
    {"split in memory", split_memory, PR_ERR_UNSUPPORTED, "give its first file"},
    {"second of a split", split_second, PR_ERR_FORMAT, "is part 2 of 2; give the first part"},
    {"part 6 of 2", split_past, PR_ERR_FORMAT, "\"split.no\" is 5, outside 0 to 1"},
};

static void every_damage_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        gguf_writer_string(&w, "first", "value");
        gguf_writer_tensor(&w, "t", TYPE_F32, 1, (int64_t[]){6});
        damages[i].make(&w);
        struct base_buf bytes = gguf_sample_file(&w);
        /* Enough data for a second tensor. */
        base_buf_append(&bytes, (char[64]){0}, 64);
        int err = gguf_sample_open(bytes.data, bytes.len);
        if (err != damages[i].err)
            fail_msg("%s: %s instead of %s (%s)", damages[i].name, pr_error_name(err), pr_error_name(damages[i].err),
                     pr_error_message());
        gguf_sample_message(GGUF_SAMPLE_NAME, damages[i].message);
        assert_non_null(strchr(pr_error_message(), ';')); /* what is wrong; what to do */
        base_buf_finish(&bytes);
    }
}

/* What is unusual but right. */
static void unusual_but_right(void **state)
{
    (void)state;
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = gguf_sample_file(&w); /* no key, no tensor */
    assert_int_equal(gguf_sample_open(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);

    gguf_writer_u32(&w, "split.count", 0);
    bytes = gguf_sample_file(&w);
    assert_int_equal(gguf_sample_open(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);

    /* Gaps and another order than that of the infos. */
    info(&w, "a", TYPE_F32, 1, 8, 1, 128);
    info(&w, "b", TYPE_F32, 1, 8, 1, 0);
    gguf_writer_split(&w, 0, 1, 2);
    bytes = gguf_sample_file(&w);
    base_buf_append(&bytes, (char[160]){0}, 160);
    assert_int_equal(gguf_sample_open(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_at_every_byte), cmocka_unit_test(every_bit_flipped),
        cmocka_unit_test(every_byte_replaced),     cmocka_unit_test(every_damage_is_named),
        cmocka_unit_test(unusual_but_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
