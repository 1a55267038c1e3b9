/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/cpu/pack.h"

#include "base/mem.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What packing reads from a block means what the definition says, for random bytes in every format. */
static void test_unpack_equals_definition(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int type = 0; type < TYPE_LIMIT; type++) {
        const struct type_traits *t = compute_type(type);
        if (!t || !cpu_packing((enum type)type).bits)
            continue;
        for (int round = 0; round < 50; round++) {
            uint8_t block[256];
            float expected[256], got[256];
            for (int i = 0; i < t->bytes; i++) {
                seed = seed * 1664525u + 1013904223u;
                block[i] = (uint8_t)(seed >> 24);
            }
            ref_dequantize((enum type)type, block, expected, t->block);
            cpu_unpack_row((enum type)type, block, t->block, got);
            for (int i = 0; i < t->block; i++) {
                if (!isfinite(expected[i])) /* random scales */
                    continue;
                float room = 1e-6f * fabsf(expected[i]) + 1e-3f * fabsf(expected[0] - expected[i]) * 1e-3f;
                if (fabsf(got[i] - expected[i]) > room)
                    fail_msg("%s: element %d is %g, not %g", t->name, i, (double)got[i], (double)expected[i]);
            }
        }
    }
}

/* A code and its row and column can be found where pack.h says. */
static void test_places(void **state)
{
    (void)state;
    enum { ROWS = 20, COLS = 64 };
    uint8_t *data = base_try_alloc(ROWS * 2, 34);
    struct buffer buffer = {.host = data};
    struct tensor w = {.type = TYPE_Q8_0, .rows = ROWS, .cols = COLS, .buffer = &buffer};
    for (int r = 0; r < ROWS; r++)
        for (int b = 0; b < 2; b++) {
            data[(2 * r + b) * 34] = (uint8_t)r; /* d: a subnormal half that tells the row */
            for (int c = 0; c < 32; c++)
                data[(2 * r + b) * 34 + 2 + c] = (uint8_t)(r + 3 * (32 * b + c));
        }
    struct packing p = cpu_packing(TYPE_Q8_0);
    uint8_t *group = base_try_alloc(1, cpu_group_bytes(TYPE_Q8_0, COLS));
    cpu_pack_group(&w, 1, group);
    for (int r = 0; r < 16; r++) {
        assert_int_equal(group[2 * r], r < 4 ? 16 + r : 0); /* rows past the last are zero */
        for (int c = 0; c < COLS && r < 4; c++)
            assert_int_equal(group[cpu_group_codes(p, COLS) + (size_t)(c / 4 * 64 + 4 * r + c % 4)],
                             (uint8_t)(16 + r + 3 * c) ^ 0x80);
    }
    base_free(group);
    base_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_equals_definition),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
