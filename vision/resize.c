/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of the source are squeezed to the new width eight at a time (they lie side by side then, so that one weight meets 24
 * values) into a ring that holds what the window of one output row needs; a window moves down over the ring.
 */
#include "vision/resize.h"

#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANES = 8, PIXEL = 3 * LANES };

/* One pass: output i is the sum over k < n[i] of weight[i * reach + k] * input[first[i] + k], shifted right by `bits`. */
struct windows {
    int *first, *n;
    int32_t *weight;
    int reach, bits;
    bool narrow; /* weights fit 16 bits */
    bool same;   /* the side stays: nothing to do */
};

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

static void windows_finish(struct windows *w)
{
    base_free(w->first);
    base_free(w->n);
    base_free(w->weight);
}

/* Fractional bits with which the largest weight still fits 16 bits, as torch chooses them. */
static int torch_bits(double largest)
{
    int bits = 0;
    while (bits < 22 && (int)(0.5 + largest * (1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

static int windows_init(struct windows *w, int in, int out, enum resize_filter filter, enum resize_rounding rounding)
{
    *w = (struct windows){.same = in == out};
    if (w->same)
        return PR_OK;
    double scale = (double)in / out, stretch = scale > 1 ? scale : 1, support = filters[filter].support * stretch;
    w->reach = 2 * (int)ceil(support) + 1;
    size_t n = 0;
    double *weight = NULL;
    w->first = base_try_alloc((size_t)out, sizeof *w->first);
    w->n = base_try_alloc((size_t)out, sizeof *w->n);
    if (base_mul((size_t)out, (size_t)w->reach, &n)) {
        weight = base_try_alloc(n, sizeof *weight);
        w->weight = base_try_alloc(n, sizeof *w->weight);
    }
    if (!w->first || !w->n || !w->weight || !weight) {
        base_free(weight);
        windows_finish(w);
        return base_fail(PR_ERR_NOMEM, "no memory to resize a picture from %d to %d pixels; give a smaller one", in,
                         out);
    }

    double largest = 0;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0, *k = weight + (size_t)i * (size_t)w->reach;
        int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > in ? in : end;
        w->first[i] = first;
        w->n[i] = end - first < w->reach ? end - first : w->reach;
        for (int j = 0; j < w->n[i]; j++)
            sum += k[j] = filters[filter].value((j + first - centre + 0.5) * (1 / stretch));
        for (int j = 0; j < w->n[i]; j++) {
            k[j] = sum != 0 ? k[j] / sum : k[j];
            largest = k[j] > largest ? k[j] : largest;
        }
    }
    w->narrow = rounding == RESIZE_TORCH;
    w->bits = w->narrow ? torch_bits(largest) : 22;
    for (size_t i = 0; i < n; i++) {
        double v = weight[i] * (1 << w->bits);
        w->weight[i] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
    }
    base_free(weight);
    return PR_OK;
}

static uint8_t clip(int32_t v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

typedef uint8_t bytes __attribute__((vector_size(16)));

/* a0 b0 a1 b1 ... of the first and of the second halves. */
static inline void interleave(bytes a, bytes b, uint8_t *to)
{
    bytes low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    bytes high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    memcpy(to, &low, sizeof low);
    memcpy(to + sizeof low, &high, sizeof high);
}

/* 16 bytes of each of LANES rows, byte by byte: [LANES, 16] -> [16, LANES]. Interleaving the halves three times turns the matrix. */
static inline void turn(const uint8_t *const *rows, int at, uint8_t *to)
{
    bytes v[LANES];
    uint8_t out[LANES * 16];
    for (int r = 0; r < LANES; r++)
        memcpy(&v[r], rows[r] + at, sizeof v[r]);
    for (int round = 0; round < 3; round++) {
        for (int r = 0; r < LANES / 2; r++)
            interleave(v[r], v[r + LANES / 2], out + 32 * r);
        memcpy(v, out, sizeof v);
    }
    memcpy(to, out, sizeof out);
}

/* Up to LANES rows of the source, pixel by pixel: lanes [w, 3, LANES]. */
static void gather_rows(const uint8_t *src, size_t stride, int w, int n, uint8_t *lanes)
{
    const uint8_t *rows[LANES];
    int done = 0;
    for (int r = 0; r < LANES; r++)
        rows[r] = src + (size_t)(r < n ? r : 0) * stride;
    for (; n == LANES && done + 16 <= 3 * w; done += 16)
        turn(rows, done, lanes + (size_t)done * LANES);
    for (int i = done; i < 3 * w; i++)
        for (int r = 0; r < LANES; r++)
            lanes[i * LANES + r] = rows[r][i];
}

/* sum += in * weight over n values. Weights of 16 bits are multiplied as such: twice as quick without SSE4. */
static inline void add_products(int32_t *sum, const uint8_t *in, int n, int32_t weight, bool narrow)
{
    int16_t w = (int16_t)weight;
    if (narrow)
        for (int i = 0; i < n; i++)
            sum[i] += (int16_t)in[i] * w;
    else
        for (int i = 0; i < n; i++)
            sum[i] += in[i] * weight;
}

static void squeeze_rows(const struct windows *x, const uint8_t *lanes, int w, int n, uint8_t *const *to)
{
    for (int i = 0; i < w; i++) {
        int32_t sum[PIXEL];
        for (int l = 0; l < PIXEL; l++)
            sum[l] = 1 << (x->bits - 1);
        const int32_t *weight = x->weight + (size_t)i * (size_t)x->reach;
        const uint8_t *in = lanes + (size_t)x->first[i] * PIXEL;
        if (x->narrow)
            for (int k = 0; k < x->n[i]; k++, in += PIXEL)
                add_products(sum, in, PIXEL, weight[k], true);
        else
            for (int k = 0; k < x->n[i]; k++, in += PIXEL)
                add_products(sum, in, PIXEL, weight[k], false);
        for (int l = 0; l < PIXEL; l++)
            sum[l] >>= x->bits;
        for (int r = 0; r < n; r++)
            for (int c = 0; c < 3; c++)
                to[r][3 * i + c] = clip(sum[c * LANES + r]);
    }
}

/* One output row of `n` bytes from the rows of its window. */
static inline __attribute__((always_inline)) void sum_window(const struct windows *y, int i, const uint8_t *const *rows,
                                                             int n, int32_t *sum, uint8_t *dst)
{
    for (int b = 0; b < n; b++)
        sum[b] = 1 << (y->bits - 1);
    const int32_t *weight = y->weight + (size_t)i * (size_t)y->reach;
    for (int k = 0; k < y->n[i]; k++)
        add_products(sum, rows[k], n, weight[k], y->narrow);
    for (int b = 0; b < n; b++)
        dst[b] = clip(sum[b] >> y->bits);
}

static void sum_rows(const struct windows *y, int i, const uint8_t *const *rows, int n, int32_t *sum, uint8_t *dst)
{
    sum_window(y, i, rows, n, sum, dst);
}

/* The same for what nearly every x86-64 processor has: whole numbers, so the same values come out. */
#if defined(__x86_64__)
/* LANES sums, rounded and clipped. */
__attribute__((target("avx2"))) static inline void round_lanes(__m256i sum, int bits, uint8_t *to)
{
    __m256i v = _mm256_sra_epi32(sum, _mm_cvtsi32_si128(bits));
    __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(half, half));
}

__attribute__((target("avx2"))) static inline __m256i load_lanes(const uint8_t *in)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)in));
}

__attribute__((target("avx2"))) static void squeeze_rows_avx2(const struct windows *x, const uint8_t *lanes, int w,
                                                              int n, uint8_t *const *to)
{
    for (int i = 0; i < w; i++) {
        uint8_t done[PIXEL];
        const int32_t *weight = x->weight + (size_t)i * (size_t)x->reach;
        const uint8_t *in = lanes + (size_t)x->first[i] * PIXEL;
        __m256i red = _mm256_set1_epi32(1 << (x->bits - 1)), green = red, blue = red;
        for (int k = 0; k < x->n[i]; k++, in += PIXEL) {
            __m256i by = _mm256_set1_epi32(weight[k]);
            red = _mm256_add_epi32(red, _mm256_mullo_epi32(load_lanes(in), by));
            green = _mm256_add_epi32(green, _mm256_mullo_epi32(load_lanes(in + LANES), by));
            blue = _mm256_add_epi32(blue, _mm256_mullo_epi32(load_lanes(in + (ptrdiff_t)2 * LANES), by));
        }
        round_lanes(red, x->bits, done);
        round_lanes(green, x->bits, done + LANES);
        round_lanes(blue, x->bits, done + (ptrdiff_t)2 * LANES);
        for (int r = 0; r < n; r++)
            for (int c = 0; c < 3; c++)
                to[r][3 * i + c] = done[c * LANES + r];
    }
}

__attribute__((target("avx2"))) static void sum_rows_avx2(const struct windows *y, int i, const uint8_t *const *rows,
                                                          int n, int32_t *sum, uint8_t *dst)
{
    sum_window(y, i, rows, n, sum, dst);
}

/* PAGEREEL_CPU is what tests choose the processor's kernels with (compute/cpu/). */
static bool has_avx2(void)
{
    const char *forced = getenv("PAGEREEL_CPU");
    return __builtin_cpu_supports("avx2") && !(forced && !strcmp(forced, "generic"));
}
#endif

/* The state of one call: squeezed rows [next - ring, next) lie in the ring, row r in place r % ring. */
struct job {
    const uint8_t *src;
    size_t stride, row_bytes;
    int src_w, src_h, w;
    struct windows x;
    uint8_t *lanes, *ring;
    int n_ring, next;
    void (*squeeze)(const struct windows *x, const uint8_t *lanes, int w, int n, uint8_t *const *to);
    void (*sum)(const struct windows *y, int i, const uint8_t *const *rows, int n, int32_t *sum, uint8_t *dst);
};

static uint8_t *ring_row(const struct job *j, int r)
{
    return j->ring + (size_t)(r % j->n_ring) * j->row_bytes;
}

/* Squeezes the next rows of the source; the ring has LANES places to spare. */
static void advance(struct job *j)
{
    int n = j->src_h - j->next < LANES ? j->src_h - j->next : LANES;
    uint8_t *to[LANES];
    for (int r = 0; r < n; r++)
        to[r] = ring_row(j, j->next + r);
    gather_rows(j->src + (size_t)j->next * j->stride, j->stride, j->src_w, n, j->lanes);
    j->squeeze(&j->x, j->lanes, j->w, n, to);
    j->next += n;
}

static const uint8_t *squeezed(struct job *j, int r)
{
    if (j->x.same)
        return j->src + (size_t)r * j->stride;
    while (j->next <= r)
        advance(j);
    return ring_row(j, r);
}

int vision_resize(const uint8_t *src, size_t src_stride, int src_w, int src_h, uint8_t *dst, int dst_w, int dst_h,
                  enum resize_filter filter, enum resize_rounding rounding)
{
    int err;
    struct job j = {.src = src,
                    .stride = src_stride,
                    .row_bytes = 3 * (size_t)dst_w,
                    .src_w = src_w,
                    .src_h = src_h,
                    .w = dst_w,
                    .squeeze = squeeze_rows,
                    .sum = sum_rows};
    struct windows y = {0};
    int32_t *sum = NULL;
    const uint8_t **rows = NULL;
#if defined(__x86_64__)
    if (has_avx2()) {
        j.squeeze = squeeze_rows_avx2;
        j.sum = sum_rows_avx2;
    }
#endif
    TRY(windows_init(&j.x, src_w, dst_w, filter, rounding));
    TRY(windows_init(&y, src_h, dst_h, filter, rounding));
    int reach = y.same ? 1 : y.reach;
    j.n_ring = (reach < src_h ? reach : src_h) + LANES;
    sum = base_try_alloc(j.row_bytes, sizeof *sum);
    rows = base_try_alloc((size_t)reach, sizeof *rows);
    j.ring = base_try_alloc((size_t)j.n_ring, j.x.same ? 1 : j.row_bytes);
    j.lanes = base_try_alloc((size_t)src_w, j.x.same ? 1 : PIXEL);
    if (!sum || !rows || !j.ring || !j.lanes) {
        err = base_fail(PR_ERR_NOMEM, "no memory to resize a picture of %d x %d pixels; give a smaller one", src_w,
                        src_h);
        goto fail;
    }
    for (int i = 0; i < dst_h; i++, dst += j.row_bytes) {
        if (y.same) {
            memcpy(dst, squeezed(&j, i), j.row_bytes);
            continue;
        }
        if (y.n[i] > 0)
            squeezed(&j, y.first[i] + y.n[i] - 1);
        for (int k = 0; k < y.n[i]; k++)
            rows[k] = squeezed(&j, y.first[i] + k);
        j.sum(&y, i, rows, (int)j.row_bytes, sum, dst);
    }
    err = PR_OK;
fail:
    windows_finish(&j.x);
    windows_finish(&y);
    base_free(sum);
    base_free(rows);
    base_free(j.ring);
    base_free(j.lanes);
    return err;
}
