/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Breaks the definitions in the ways that kernels are wrong, and expects the harness to find each.
 */
#include "tests/kernels/harness.h"

#include "base/mem.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum flaw {
    NO_FLAW,
    ONE_ELEMENT,     /* one element is off by a thousandth */
    ALL_SLIGHTLY,    /* every element is off by less than its bound */
    NOT_A_NUMBER,    /* an element is NaN */
    LAST_MISSING,    /* the last element isn't written */
    BYTE_BEHIND,     /* writes a byte past the end */
    BYTE_BEFORE,     /* writes a byte before the beginning */
    INPUT_CHANGED,   /* works in its input */
    SCRATCH_OVERRUN, /* writes a byte past its scratch */
    WEIGHT_CHANGED,
    STATE_ROW, /* changes a row of a state that it has no business with */
    FAILS      /* returns an error */
};
static enum flaw flaw;

static void spoil(const struct part *part)
{
    const struct op *op = part->ops[0];
    float *result = compute_tensor_data(op->dst);
    int64_t n = op->dst->rows * op->dst->cols;
    uint8_t *arena = part->arena->host;
    switch (flaw) {
    case NO_FLAW:
    case FAILS:
        break;
    case ONE_ELEMENT:
        result[n / 2] *= 1.001f;
        break;
    case ALL_SLIGHTLY:
        for (int64_t i = 0; i < n; i++)
            result[i] += (i % 2 ? 1e-5f : -1e-5f) * result[i];
        break;
    case NOT_A_NUMBER:
        result[0] = NAN;
        break;
    case LAST_MISSING:
        memset(&result[n - 1], 0x7f, sizeof *result);
        break;
    case BYTE_BEHIND:
        *((uint8_t *)(result + n)) ^= 1;
        break;
    case BYTE_BEFORE:
        *((uint8_t *)result - 1) ^= 1;
        break;
    case INPUT_CHANGED:
        *(float *)compute_tensor_data(op->src[1]) = 0;
        break;
    case SCRATCH_OVERRUN:
        arena[op->scratch_offset + op->scratch_size] ^= 1;
        break;
    case WEIGHT_CHANGED:
        *(uint8_t *)compute_tensor_data(op->src[0]) ^= 1;
        break;
    case STATE_ROW:
        result[0] += 1;
        break;
    }
}

static int run_and_spoil(struct part *part, const struct base_cancel *cancel)
{
    int err = compute_backend_ref.run(part, cancel);
    spoil(part);
    return flaw == FAILS ? base_fail(PR_ERR_DEVICE, "on purpose") : err;
}

static struct backend flawed;

static int open_flawed(void **state)
{
    static struct kernels t;
    flawed = compute_backend_ref;
    flawed.run = run_and_spoil;
    if (compute_device_open("ref", NULL, &t.ref) < 0 || compute_device_open("ref", NULL, &t.devices[0]) < 0)
        return -1;
    t.devices[0]->backend = &flawed;
    t.n_devices = 1;
    t.quiet = true;
    *state = &t;
    return 0;
}

static int close_flawed(void **state)
{
    struct kernels *t = *state;
    compute_device_close(t->devices[0]);
    compute_device_close(t->ref);
    return 0;
}

static int failures_with(struct kernels *t, enum flaw with, struct kernel_case c)
{
    t->tallies[c.kind][0] = (struct tally){0};
    t->current = c.kind;
    flaw = with;
    kernel_check(t, &c);
    assert_int_equal(t->tallies[c.kind][0].cases, 1);
    return t->tallies[c.kind][0].failures;
}

static struct kernel_case product(void)
{
    struct kernel_case c = kernel_case(OP_matmul, "product");
    kernel_random(&c, 0, TENSOR_WEIGHT, TYPE_F32, 7, 33, FILL_NORMAL);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, 3, 33, FILL_NORMAL);
    c.absolute = c.relative = 1e-4;
    c.nmse = 1e-12;
    return c;
}

static struct kernel_case scattering(void)
{
    struct kernel_case c = kernel_case(OP_scatter, "scattering");
    kernel_random(&c, 0, TENSOR_STATE, TYPE_F32, 5, 3, FILL_NORMAL);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, 1, 3, FILL_NORMAL);
    int32_t *ids = kernel_operand(&c, 2, TENSOR_INPUT, TYPE_I32, 1, 1);
    ids[0] = 2;
    return c;
}

static void what_is_right_passes(void **state)
{
    assert_int_equal(failures_with(*state, NO_FLAW, product()), 0);
    assert_int_equal(failures_with(*state, NO_FLAW, scattering()), 0);
}

static void every_flaw_is_found(void **state)
{
    for (int f = ONE_ELEMENT; f <= FAILS; f++)
        if (f != STATE_ROW && failures_with(*state, (enum flaw)f, product()) != 1)
            fail_msg("flaw %d was not found", f);
    assert_int_equal(failures_with(*state, STATE_ROW, scattering()), 1);
    assert_int_equal(failures_with(*state, BYTE_BEHIND, scattering()), 1);
    assert_int_equal(failures_with(*state, BYTE_BEFORE, scattering()), 1);
}

static void what_is_not_supported_is_counted(void **state)
{
    struct kernels *t = *state;
    struct kernel_case c = product();
    kernel_random(&c, KERNEL_ADDEND, TENSOR_INPUT, TYPE_F32, 3, 7, FILL_NORMAL);
    flawed.fuses = NULL;
    t->tallies[OP_matmul][0] = (struct tally){0};
    t->current = OP_matmul;
    kernel_check(t, &c);
    flawed.fuses = compute_backend_ref.fuses;
    assert_int_equal(t->tallies[OP_matmul][0].cases, 0);
    assert_int_equal(t->tallies[OP_matmul][0].unsupported, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_passes),
        cmocka_unit_test(every_flaw_is_found),
        cmocka_unit_test(what_is_not_supported_is_counted),
    };
    return cmocka_run_group_tests(tests, open_flawed, close_flawed);
}
