/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/cpu/feature.h"

#include "compute/cpu/amx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static bool bit(unsigned reg, int n)
{
    return reg >> n & 1;
}

/* XCR0: which register sets the system saves when it switches threads. */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void read_name(char *name, size_t size)
{
    unsigned brand[12] = {0};
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3]);
    char text[sizeof brand + 1] = {0};
    memcpy(text, brand, sizeof brand);
    size_t start = strspn(text, " ");
    snprintf(name, size, "%s", text[start] ? text + start : "x86-64 processor");
}

/* Bit numbers: Intel Software Developer's Manual, volume 2, CPUID. */
void cpu_features_read(struct cpu_features *out)
{
    unsigned a, b, c, d;
    *out = (struct cpu_features){0};
    read_name(out->name, sizeof out->name);
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) /* OSXSAVE */
        return;
    bool fma = bit(c, 12), f16c = bit(c, 29);
    uint64_t saved = saved_state();
    bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    unsigned leaves = a;
    out->avx2 = ymm && fma && f16c && bit(b, 5);
    out->avx512 = out->avx2 && zmm && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
    out->vnni = out->avx512 && bit(c, 11);
    bool tile_bf16 = tiles && bit(d, 24) && bit(d, 22);
    if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        out->bf16 = out->avx512 && bit(a, 5);
        out->avxvnni = out->avx2 && bit(a, 4);
    }
    out->amx = out->vnni && out->bf16 && tile_bf16 && cpu_amx_permit();
}

#else

void cpu_features_read(struct cpu_features *out)
{
    *out = (struct cpu_features){.name = "processor without kernels of its own"};
}

#endif

static bool runs_anywhere(const struct cpu_features *f)
{
    (void)f;
    return true;
}
#if defined(__x86_64__)
static bool runs_avx2(const struct cpu_features *f)
{
    return f->avx2;
}
static bool runs_amx(const struct cpu_features *f)
{
    return f->amx;
}
static bool runs_avxvnni(const struct cpu_features *f)
{
    return f->avxvnni;
}
static bool runs_avx512(const struct cpu_features *f)
{
    return f->vnni;
}
#endif

/* Best first. */
static const struct {
    const struct cpu_kernels *kernels;
    bool (*runs)(const struct cpu_features *f);
} tiers[] = {
#if defined(__x86_64__)
    {&cpu_kernels_amx, runs_amx},          {&cpu_kernels_avx512, runs_avx512},
    {&cpu_kernels_avxvnni, runs_avxvnni},  {&cpu_kernels_avx2, runs_avx2},
#endif
    {&cpu_kernels_generic, runs_anywhere},
};

int cpu_choose_kernels(const struct cpu_features *features, const struct cpu_kernels **out)
{
    const char *wanted = getenv("PAGEREEL_CPU");
    char names[128] = "";
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++) {
        const char *name = tiers[i].kernels->name;
        bool runs = tiers[i].runs(features);
        if (wanted && *wanted ? !strcmp(wanted, name) : runs) {
            if (!runs)
                return base_fail(PR_ERR_UNSUPPORTED, "PAGEREEL_CPU=%s: this processor has no %s; unset it", wanted,
                                 wanted);
            *out = tiers[i].kernels;
            return PR_OK;
        }
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", name);
    }
    return base_fail(PR_ERR_INVALID, "PAGEREEL_CPU=%s: no such kernels; there are %s", wanted, names);
}

static void add(struct device_info *info, const char *name, bool there, bool used, const char *why)
{
    if (info->n_features == DEVICE_FEATURES_MAX)
        return;
    struct device_feature *f = &info->features[info->n_features++];
    f->name = name;
    f->used = there && used;
    snprintf(f->why, sizeof f->why, "%s", there ? why : "this processor or system hasn't got it");
}

void cpu_describe_features(const struct cpu_features *features, const struct cpu_kernels *kernels,
                           struct device_info *info)
{
    bool tiles = !strcmp(kernels->name, "amx"), wide = tiles || !strcmp(kernels->name, "avx512");
    bool dots = !strcmp(kernels->name, "avxvnni"), narrow = dots || !strcmp(kernels->name, "avx2");
    const char *forced = "PAGEREEL_CPU says so";
    add(info, "AVX2, FMA, F16C", features->avx2, narrow,
        narrow ? "f32 vectors of 8"
        : wide ? "wider kernels are used"
               : forced);
    add(info, "AVX-VNNI", features->avxvnni, dots,
        dots   ? "integer dot products"
        : wide ? "wider kernels are used"
               : forced);
    add(info, "AVX-512", features->avx512, wide,
        wide             ? "f32 vectors of 16"
        : features->vnni ? forced
                         : "the kernels need VNNI with it");
    add(info, "AVX-512 VNNI", features->vnni, wide, wide ? "integer dot products" : forced);
    add(info, "AVX-512 BF16", features->bf16, tiles, tiles ? "splits activations for tiles" : "one bf16 is too coarse");
    add(info, "AMX bf16", features->amx, tiles,
        tiles ? "three products in place of one, of 16 tokens or more" : forced);
}
