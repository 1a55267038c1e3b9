/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/calibrate.h"

#include "base/mem.h"
#include "memory/sketch.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BINS = 256, PAIRS = 64 };

static float cosine(const float *a, const float *b, int32_t d)
{
    size_t n = (size_t)d;
    float ab = memory_dot(a, b, n), aa = memory_dot(a, a, n), bb = memory_dot(b, b, n);
    return aa > 0 && bb > 0 ? ab / sqrtf(aa * bb) : 0;
}

static int bin(float share)
{
    int i = (int)(share * BINS);
    return i < 0 ? 0 : i >= BINS ? BINS - 1 : i;
}

void memory_calibrate(struct calibration *c, const float *rows, const float *before, int32_t n, int32_t columns)
{
    size_t d = (size_t)columns;
    for (int32_t i = 0; i < PAIRS && n > 8; i++) { /* places that are far apart, each time others */
        size_t a = (size_t)(i * 7919 + c->steps * 31) % (size_t)n, b = (a + (size_t)n / 2 - (size_t)i % 3) % (size_t)n;
        c->far[bin((1 + cosine(rows + a * d, rows + b * d, columns)) / 2)]++;
    }
    for (int32_t i = 0; i < n && before; i++) {
        float cos = cosine(rows + (size_t)i * d, before + (size_t)i * d, columns);
        c->near[bin(sqrtf(fmaxf(0, 2 - 2 * cos)) / 2)]++;
    }
    c->steps++;
}

/* The place in 0..1 below which `share` of the counts lie. */
static float quantile(const uint32_t counts[BINS], double share)
{
    uint64_t total = 0, sum = 0;
    for (int i = 0; i < BINS; i++)
        total += counts[i];
    for (int i = 0; i < BINS; i++) {
        sum += counts[i];
        if (total > 0 && (double)sum >= share * (double)total)
            return ((float)i + 0.5f) / BINS;
    }
    return 0;
}

struct thresholds memory_calibration_result(const struct calibration *c)
{
    return (struct thresholds){2 * quantile(c->far, 0.5) - 1, 2 * quantile(c->near, 0.1)};
}

void memory_thresholds_apply(const struct thresholds *t, struct compress_options *o)
{
    static const float most_unrelated = 0.95f, least_same = 0.02f;
    float unrelated = isfinite(t->unrelated) ? fminf(fmaxf(t->unrelated, 0), most_unrelated) : 0;
    o->link = unrelated + 0.8f * (1 - unrelated);
    o->anchor = unrelated + 0.7f * (1 - unrelated);
    /* Never so far that what is only alike counts as the same. */
    float most_same = 0.5f * sqrtf(2 - 2 * o->link);
    o->same = isfinite(t->noise) ? fminf(fmaxf(1.5f * t->noise, least_same), most_same) : least_same;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

struct disk_thresholds {
    char magic[8]; /* "PRCALIB1" */
    struct thresholds thresholds;
    uint64_t checksum; /* of the bytes before it */
};
_Static_assert(sizeof(struct disk_thresholds) == 24, "as documented");

bool memory_thresholds_read(const char *path, struct thresholds *out)
{
    struct disk_thresholds disk;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool whole = fread(&disk, 1, sizeof disk, file) == sizeof disk && !memcmp(disk.magic, "PRCALIB1", 8) &&
                 disk.checksum == base_hash64(&disk, offsetof(struct disk_thresholds, checksum));
    fclose(file);
    if (whole)
        *out = disk.thresholds;
    return whole;
}

bool memory_thresholds_write(const char *path, const struct thresholds *thresholds)
{
    struct base_buf beside = {0};
    struct disk_thresholds disk = {.magic = {'P', 'R', 'C', 'A', 'L', 'I', 'B', '1'}, .thresholds = *thresholds};
    disk.checksum = base_hash64(&disk, offsetof(struct disk_thresholds, checksum));
    base_buf_printf(&beside, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(beside.data, "wb");
    bool good = file && fwrite(&disk, 1, sizeof disk, file) == sizeof disk;
    good = file && fclose(file) == 0 && good;
    good = good && rename(beside.data, path) == 0;
    if (file && !good)
        unlink(beside.data);
    base_buf_finish(&beside);
    return good;
}
