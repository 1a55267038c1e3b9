/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every weight format against what the Python package "gguf" makes of the same bytes (tests/golden/README.md).
 */
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct golden {
    uint8_t *data;
    size_t size, at;
};

static uint32_t next_u32(struct golden *g)
{
    uint32_t u;
    assert_true(g->at + 4 <= g->size);
    memcpy(&u, g->data + g->at, 4);
    g->at += 4;
    return u;
}

static int open_golden(void **state)
{
    static struct golden g;
    FILE *file = fopen("tests/golden/dequant.bin", "rb");
    if (!file)
        return -1;
    fseek(file, 0, SEEK_END);
    g.size = (size_t)ftell(file);
    g.data = malloc(g.size);
    rewind(file);
    size_t got = fread(g.data, 1, g.size, file);
    fclose(file);
    *state = &g;
    return got == g.size ? 0 : -1;
}

static int close_golden(void **state)
{
    free(((struct golden *)*state)->data);
    return 0;
}

static void values_equal_the_golden_bit_by_bit(void **state)
{
    struct golden *g = *state;
    bool seen[TYPE_LIMIT] = {0};
    g->at = 0;
    assert_memory_equal(g->data, "PRDQ", 4);
    g->at = 4;
    assert_int_equal(next_u32(g), 1);
    uint32_t n_cases = next_u32(g);
    for (uint32_t c = 0; c < n_cases; c++) {
        uint32_t type = next_u32(g), kind = next_u32(g), n_bytes = next_u32(g), n = next_u32(g);
        assert_non_null(compute_type((int)type));
        assert_int_equal(compute_row_bytes((enum type)type, n), n_bytes);
        const uint8_t *blocks = g->data + g->at;
        g->at += (n_bytes + 3) / 4 * 4;
        const uint8_t *want = g->data + g->at;
        g->at += 4 * n;
        assert_true(g->at <= g->size);

        float *got = malloc(n * sizeof *got);
        ref_dequantize((enum type)type, blocks, got, n);
        for (uint32_t i = 0; i < n; i++) {
            float w;
            memcpy(&w, want + 4 * i, 4);
            if (got[i] != w)
                fail_msg("%s, case kind %u, element %u: expected %.9g, got %.9g", compute_type((int)type)->name, kind,
                         i, (double)w, (double)got[i]);
        }
        free(got);
        seen[type] = true;
    }
    assert_int_equal(g->at, g->size);
    for (int type = 0; type < TYPE_LIMIT; type++)
        if (compute_type(type) && compute_type(type)->weight && type != TYPE_F32 && !seen[type])
            fail_msg("the golden has no %s", compute_type(type)->name);
}

static void a_row_can_be_read_from_any_block_on(void **state)
{
    struct golden *g = *state;
    g->at = 12;
    uint32_t type = 0, n_bytes = 0, n = 0;
    const uint8_t *blocks = NULL;
    do { /* the first Q4_K case */
        type = next_u32(g);
        next_u32(g);
        n_bytes = next_u32(g);
        n = next_u32(g);
        blocks = g->data + g->at;
        g->at += (n_bytes + 3) / 4 * 4 + 4 * n;
    } while (type != TYPE_Q4_K);
    struct device device = {0};
    struct buffer buffer = {.device = &device, .size = n_bytes, .host = (void *)blocks};
    struct tensor t = {.type = TYPE_Q4_K, .rows = 2, .cols = n / 2, .buffer = &buffer};
    float *whole = malloc(n * sizeof *whole), part[256];
    ref_dequantize(TYPE_Q4_K, blocks, whole, n);
    for (int64_t r = 0; r < 2; r++) {
        for (int64_t c = 0; c < n / 2; c += 256) {
            ref_load(&t, r, c, 256, part);
            assert_memory_equal(part, whole + r * n / 2 + c, sizeof part);
        }
    }
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_equal_the_golden_bit_by_bit),
        cmocka_unit_test(a_row_can_be_read_from_any_block_on),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
