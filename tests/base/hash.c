/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Bytes i * 7 mod 256; the hashes are those of Python's hashlib.blake2b(digest_size=32). */
static const struct {
    size_t len;
    const char *hash;
} cases[] = {
    {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
    {3, "b316f3683ac87007461037a8ff6547de35618800044bb3a4e98b3560c92c3794"},
    {127, "4ff62e7c4c43fe101a078479c48836be4907d9d498dcc577ca89d694b2c11f9b"},
    {128, "14696d2a98d9f8a280da8b132b1045b345e1033759c6b02fcc4ee885c8ae7c37"},
    {129, "3934215260b1039be9d9d2b073b059bcd50120c327a22af93eb4d98cf821c14c"},
    {256, "3d0cb2693dfbac42af5a6cc960953fea8714aa39c4bcd054ef61d6b5e98ade4a"},
    {257, "63cb41934eb22ceb359755501ea299abcd784306baf8845ad6b97ff0828b7cfe"},
    {1000, "6ac4bea923678eb024090384d6e767b5870f849057dc19b172d8d9f2df30bf8e"},
};

/* In pieces of every size, the result is the same. */
static void test_known_hashes(void **state)
{
    (void)state;
    unsigned char bytes[1000], out[BASE_HASH_BYTES];
    char text[2 * BASE_HASH_BYTES + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t piece = 1; piece <= 300; piece++) {
            struct base_hash hash;
            base_hash_init(&hash);
            for (size_t at = 0; at < cases[i].len; at += piece)
                base_hash_update(&hash, bytes + at, cases[i].len - at < piece ? cases[i].len - at : piece);
            base_hash_final(&hash, out);
            base_hash_text(out, text);
            assert_string_equal(text, cases[i].hash);
        }
        uint64_t first;
        memcpy(&first, out, sizeof first);
        assert_true(base_hash64(bytes, cases[i].len) == first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_hashes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
