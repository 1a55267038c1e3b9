/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program around the cases (see harness.h).
 */
#include "tests/kernels/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SKIPPED = 77 }; /* Meson's exit code for it */

static void (*const tests[OP_COUNT])(struct kernels *) = {
#define KERNEL(name, sources) [OP_##name] = test_##name,
#include "compute/kernels.def"
#undef KERNEL
};

static void no_case_failed(void **state)
{
    const struct tally *tally = *state;
    assert_true(tally->cases + tally->unsupported > 0);
    assert_int_equal(tally->failures, 0);
}

/* Negative: failed; else the number of devices. */
static int open_devices(struct kernels *t, const char *only)
{
    struct device_info infos[KERNELS_MAX_DEVICES];
    int n;
    if (compute_device_open("ref", NULL, &t->ref) < 0)
        return -1;
    compute_device_list(infos, KERNELS_MAX_DEVICES, &n);
    for (int i = 0; i < n && i < KERNELS_MAX_DEVICES; i++) {
        bool chosen = only ? strcmp(only, infos[i].id) == 0 : !t->bench || strcmp(infos[i].id, "ref") != 0;
        if (!chosen) /* nobody wants to wait for the definitions' speed */
            continue;
        int err = compute_device_open(infos[i].id, NULL, &t->devices[t->n_devices]);
        if (err == PR_ERR_UNSUPPORTED && only) {
            printf("skipped: %s\n", pr_error_message());
            return 0;
        }
        if (err < 0) {
            print_error("%s can't be opened: %s\n", infos[i].id, pr_error_message());
            return -1;
        }
        t->n_devices++;
    }
    if (!t->n_devices)
        print_error("no device%s%s\n", only ? " " : "", only ? only : "");
    return t->n_devices ? t->n_devices : -1;
}

static int run(struct kernels *t, const bool *chosen)
{
    static struct CMUnitTest units[OP_COUNT * KERNELS_MAX_DEVICES];
    static char names[OP_COUNT * KERNELS_MAX_DEVICES][96];
    size_t n = 0;
    for (int k = 0; k < OP_COUNT; k++) {
        if (!chosen[k])
            continue;
        t->current = (enum op_kind)k;
        tests[k](t);
        for (int d = 0; d < t->n_devices && !t->bench; d++) {
            struct tally *tally = &t->tallies[k][d];
            if (t->n_filters && tally->cases == 0)
                continue;
            snprintf(names[n], sizeof names[n], "%s on %s: %d cases, %d not supported", op_name(t->current),
                     t->devices[d]->info.id, tally->cases, tally->unsupported);
            units[n] = (struct CMUnitTest){names[n], no_case_failed, NULL, NULL, tally};
            n++;
        }
    }
    if (n)
        return _cmocka_run_group_tests("kernels", units, n, NULL, NULL);
    if (t->n_filters)
        print_error("no case passes the filters\n");
    return t->n_filters ? SKIPPED : 0;
}

int main(int argc, char **argv)
{
    static struct kernels t;
    bool chosen[OP_COUNT] = {0}, any = false;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        int k = 0;
        while (k < OP_COUNT && strcmp(argv[i], op_name((enum op_kind)k)) != 0)
            k++;
        if (k < OP_COUNT)
            chosen[k] = any = true;
        else if (strcmp(argv[i], "--bench") == 0)
            t.bench = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            t.verbose = true;
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc && t.n_filters < KERNELS_MAX_FILTERS)
            t.filters[t.n_filters++] = argv[++i];
        else
            return print_error("usage: %s [KERNEL...] [--device ID] [--filter TEXT]... [--bench] [--verbose]\n",
                               argv[0]),
                   2;
    }
    for (int k = 0; k < OP_COUNT && !any; k++)
        chosen[k] = true;
    int opened = open_devices(&t, only);
    if (opened <= 0)
        return opened < 0 ? 2 : SKIPPED;
    int failed = run(&t, chosen);
    for (int d = 0; d < t.n_devices; d++)
        compute_device_close(t.devices[d]);
    compute_device_close(t.ref);
    return failed;
}
