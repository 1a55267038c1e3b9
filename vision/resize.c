/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Some rows of the source at a time are squeezed to the new width, into a strip that holds what the window of one output row needs;
 * windows move down over the strip. resize_sums.h has the sums.
 */
#include "vision/resize.h"

#include "base/error.h"
#include "base/mem.h"
#include "vision/resize_sums.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*value)(double x);
    double support;
} filters[] = {[RESIZE_BILINEAR] = {triangle, 1}, [RESIZE_BICUBIC] = {cubic, 2}, [RESIZE_LANCZOS] = {lanczos, 3}};

static void windows_finish(struct resize_windows *w)
{
    base_free(w->first);
    base_free(w->n);
    base_free(w->weights);
}

/* Fractional bits with which the largest weight still fits 16 bits, as torch chooses them. */
static int torch_bits(double largest)
{
    int bits = 0;
    while (bits < 22 && (int)(0.5 + largest * (1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

/* One pass as the filter has it. */
struct filtering {
    double (*value)(double x);
    double scale, stretch, support;
    int in, out;
    int columns; /* of the largest window */
};

/* The first column of the window of output i, and how many it has. */
static int window(const struct filtering *f, int i, int *n)
{
    double centre = (i + 0.5) * f->scale;
    int first = (int)(centre - f->support + 0.5), end = (int)(centre + f->support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > f->in ? f->in : end;
    *n = end - first;
    return first;
}

/* weights[out, columns]; returns the largest. */
static double weigh(const struct filtering *f, double *weights)
{
    double largest = 0;
    for (int i = 0; i < f->out; i++, weights += f->columns) {
        int n, first = window(f, i, &n);
        double centre = (i + 0.5) * f->scale, sum = 0;
        for (int k = 0; k < n; k++)
            sum += weights[k] = f->value((k + first - centre + 0.5) * (1 / f->stretch));
        for (int k = 0; k < n; k++) {
            weights[k] = sum != 0 ? weights[k] / sum : weights[k];
            largest = weights[k] > largest ? weights[k] : largest;
        }
    }
    return largest;
}

/* The weight of column k of a quad. */
static void put_weight(struct resize_quad *quad, int k, int32_t weight, bool narrow)
{
    int16_t *high = k % 2 ? quad->odd_high : quad->even_high, *low = k % 2 ? quad->odd_low : quad->even_low;
    high[k / 2] = (int16_t)(narrow ? weight : weight >> RESIZE_LOW_BITS);
    low[k / 2] = (int16_t)(narrow ? 0 : weight & ((1 << RESIZE_LOW_BITS) - 1));
}

/* Whole numbers, from the quad on in which a window begins. */
static void pack(const struct filtering *f, const double *weights, struct resize_windows *w)
{
    struct resize_quad *quads = w->weights;
    for (int i = 0; i < f->out; i++, weights += f->columns, quads += w->reach) {
        int n, first = window(f, i, &n), skip = first % 4;
        w->first[i] = first / 4;
        w->n[i] = (skip + n + 3) / 4;
        for (int k = 0; k < n; k++) {
            double v = weights[k] * (1 << w->bits);
            put_weight(&quads[(skip + k) / 4], (skip + k) % 4, (int32_t)(v < 0 ? v - 0.5 : v + 0.5), w->narrow);
        }
    }
}

static int windows_init(struct resize_windows *w, int in, int out, enum resize_filter filter,
                        enum resize_rounding rounding)
{
    *w = (struct resize_windows){.same = in == out, .narrow = rounding == RESIZE_TORCH};
    if (w->same)
        return PR_OK;
    struct filtering f = {.value = filters[filter].value, .scale = (double)in / out, .in = in, .out = out};
    f.stretch = f.scale > 1 ? f.scale : 1;
    f.support = filters[filter].support * f.stretch;
    f.columns = 2 * (int)ceil(f.support) + 1;
    w->reach = (f.columns + 6) / 4; /* a window may begin and end in the middle of a quad */
    size_t n = 0, n_quads = 0;
    double *weights = NULL;
    w->first = base_try_alloc((size_t)out, sizeof *w->first);
    w->n = base_try_alloc((size_t)out, sizeof *w->n);
    if (base_mul((size_t)out, (size_t)f.columns, &n) && base_mul((size_t)out, (size_t)w->reach, &n_quads)) {
        weights = base_try_alloc(n, sizeof *weights);
        w->weights = base_try_alloc(n_quads, sizeof *w->weights);
    }
    bool enough = w->first && w->n && w->weights && weights;
    if (enough) {
        double largest = weigh(&f, weights);
        w->bits = w->narrow ? torch_bits(largest) : 22;
        pack(&f, weights, w);
    } else {
        windows_finish(w);
    }
    base_free(weights);
    return enough ? PR_OK
                  : base_fail(PR_ERR_NOMEM, "no memory to resize a picture from %d to %d pixels; give a smaller one",
                              in, out);
}

/* PAGEREEL_CPU is what tests choose the processor's kernels with (compute/cpu/). */
static const struct resize_sums *choose_sums(void)
{
#if defined(__x86_64__)
    const char *forced = getenv("PAGEREEL_CPU");
    if (forced && !strcmp(forced, "generic"))
        return &vision_resize_sums_generic;
    bool narrow = forced && !strncmp(forced, "avx", 3) && strcmp(forced, "avx512") != 0;
    if (!narrow && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
        return &vision_resize_sums_avx512;
    if (__builtin_cpu_supports("avx2"))
        return &vision_resize_sums_avx2;
#endif
    return &vision_resize_sums_generic;
}

/* ---- one picture ------------------------------------------------------------------------------------------------------ */

/* The state of one call: quads first .. first + n - 1 of squeezed rows lie in the strip. */
struct job {
    const struct resize_sums *sums;
    const uint8_t *src;
    size_t src_stride;
    int src_w, src_h, w;
    struct resize_windows x, y;
    uint8_t *quads; /* of columns, of a few rows */
    uint8_t *strip; /* [cap, stride] */
    size_t stride;
    int first, n, cap;
};

/* Row r of the source; behind the last one, which meets weights of 0, any. */
static const uint8_t *row_of(const struct job *j, int r)
{
    return j->src + (size_t)(r < j->src_h ? r : j->src_h - 1) * j->src_stride;
}

/* Quads of four rows as they are. */
static void weave(const uint8_t *const *rows, size_t bytes, uint8_t *restrict to)
{
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    for (size_t i = 0; i < bytes; i++, to += 4) {
        to[0] = a[i];
        to[1] = b[i];
        to[2] = c[i];
        to[3] = d[i];
    }
}

/* The next rows of the source, squeezed, behind the others. */
static void advance(struct job *j)
{
    const uint8_t *rows[16];
    uint8_t *to = j->strip + (size_t)j->n * j->stride;
    for (int r = 0; r < j->sums->rows; r++)
        rows[r] = row_of(j, 4 * (j->first + j->n) + r);
    if (j->x.same) {
        for (int r = 0; r < j->sums->rows; r += 4, to += j->stride)
            weave(rows + r, 3 * (size_t)j->w, to);
    } else {
        j->sums->gather(rows, j->src_w, j->quads);
        j->sums->squeeze(&j->x, j->quads, j->w, to, j->stride);
    }
    j->n += j->sums->rows / 4;
}

/* Quads first .. first + n - 1 of squeezed rows; those before aren't asked for again. */
static const uint8_t *squeezed(struct job *j, int first, int n)
{
    while (j->first + j->n < first + n) {
        if (j->n + j->sums->rows / 4 > j->cap) {
            int done = first - j->first;
            memmove(j->strip, j->strip + (size_t)done * j->stride, (size_t)(j->n - done) * j->stride);
            j->first += done;
            j->n -= done;
        }
        advance(j);
    }
    return j->strip + (size_t)(first - j->first) * j->stride;
}

static void make_row(struct job *j, int i, uint8_t *dst)
{
    size_t bytes = 3 * (size_t)j->w;
    if (!j->y.same) {
        j->sums->blend(&j->y, i, squeezed(j, j->y.first[i], j->y.n[i]), j->stride, (int)bytes, dst);
    } else if (j->x.same) {
        memcpy(dst, row_of(j, i), bytes);
    } else {
        const uint8_t *from = squeezed(j, i / 4, 1) + i % 4;
        for (size_t b = 0; b < bytes; b++)
            dst[b] = from[4 * b];
    }
}

int vision_resize(const uint8_t *src, size_t src_stride, int src_w, int src_h, uint8_t *dst, int dst_w, int dst_h,
                  enum resize_filter filter, enum resize_rounding rounding)
{
    int err;
    struct job j = {
        .sums = choose_sums(), .src = src, .src_stride = src_stride, .src_w = src_w, .src_h = src_h, .w = dst_w};
    j.stride = 4 * base_align(3 * (size_t)dst_w, (size_t)j.sums->block);
    TRY(windows_init(&j.x, src_w, dst_w, filter, rounding));
    TRY(windows_init(&j.y, src_h, dst_h, filter, rounding));
    /* Twice what a window has, so that it is seldom moved. */
    int window = j.y.same ? 1 : j.y.reach, rows = (src_h + 3) / 4 + j.sums->rows / 4;
    j.cap = (window < rows ? 2 * window : rows) + j.sums->rows / 4;
    j.strip = base_try_alloc((size_t)j.cap, j.stride);
    j.quads = base_try_alloc(((size_t)src_w + 3) / 4 * 3, 4 * (size_t)j.sums->rows);
    if (!j.strip || !j.quads)
        TRY(base_fail(PR_ERR_NOMEM, "no memory to resize a picture of %d x %d pixels; give a smaller one", src_w,
                      src_h));
    for (int i = 0; i < dst_h; i++, dst += 3 * (size_t)dst_w)
        make_row(&j, i, dst);
    err = PR_OK;
fail:
    windows_finish(&j.x);
    windows_finish(&j.y);
    base_free(j.strip);
    base_free(j.quads);
    return err;
}
