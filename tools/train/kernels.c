// SPDX-License-Identifier: GPL-2.0-or-later
// What PyTorch is slow at on a CPU, for kernels.py: element-wise work on bfloat16 rows, 16 values at a time. Products are PyTorch's.
// GCC's vector types: any processor runs it, one with AVX-512 runs it well (compiled with -march=native).
// Sums are kept in float. Row lengths that are called `d` are multiples of 16.

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef float v16 __attribute__((vector_size(64)));
typedef uint32_t u16x32 __attribute__((vector_size(64)));
typedef int32_t i16x32 __attribute__((vector_size(64)));
typedef uint16_t half16 __attribute__((vector_size(32)));

static inline v16 get(const uint16_t *p)
{
    half16 h;
    memcpy(&h, p, sizeof h);
    return (v16)(__builtin_convertvector(h, u16x32) << 16);
}

static inline void put(uint16_t *p, v16 x)
{
#ifdef __AVX512BF16__
    __m256bh h = _mm512_cvtneps_pbh((__m512)x);
    memcpy(p, &h, sizeof h);
#else
    u16x32 bits = (u16x32)x;
    half16 h = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, half16);
    memcpy(p, &h, sizeof h);
#endif
}

static inline v16 getf(const float *p)
{
    v16 x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline v16 least(v16 a, v16 b)
{
#ifdef __AVX512F__
    return (v16)_mm512_min_ps((__m512)a, (__m512)b);
#else
    i16x32 take = a < b;
    return (v16)(((i16x32)a & take) | ((i16x32)b & ~take));
#endif
}

static inline v16 most(v16 a, v16 b)
{
#ifdef __AVX512F__
    return (v16)_mm512_max_ps((__m512)a, (__m512)b);
#else
    i16x32 take = a > b;
    return (v16)(((i16x32)a & take) | ((i16x32)b & ~take));
#endif
}

static inline float sum(v16 x)
{
    float s = 0;
    for (int i = 0; i < 16; i++)
        s += x[i];
    return s;
}

static inline float highest(v16 x)
{
    float m = x[0];
    for (int i = 1; i < 16; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static inline v16 splat(float x)
{
    return x - (v16){0};
}

// 1 / x; to 14 bits where that is quicker, which is more than bfloat16 keeps.
static inline v16 inverse(v16 x)
{
#ifdef __AVX512F__
    return (v16)_mm512_rcp14_ps((__m512)x);
#else
    return 1.0F / x;
#endif
}

// e^x by 2^n times a polynomial of the rest, within 1e-4 of it: bfloat16 keeps 4e-3. Beyond 60 either way is as good as there, and
// keeps clear of denormal numbers.
static inline v16 power(v16 x)
{
    x = most(least(x, splat(60.0F)), splat(-60.0F)) * 1.44269504F;
    v16 n = (x + 12582912.0F) - 12582912.0F; // to the nearest whole number
    v16 f = x - n;
    v16 p = f * 5.50886838e-2F + 2.42604051e-1F;
    p = p * f + 6.93276242e-1F;
    p = p * f + 0.999928940F;
#ifdef __AVX512F__
    return (v16)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return (v16)((i16x32)p + (__builtin_convertvector(n, i16x32) << 23));
#endif
}

#define GELU_A 1.5957691216F // 2 sqrt(2/pi)
#define GELU_B 0.044715F

void gelu(const uint16_t *u, uint16_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        v16 x = get(u + i);
        put(y + i, x * inverse(1.0F + power(x * (x * x * GELU_B + 1.0F) * -GELU_A)));
    }
}

// g becomes the gradient of u.
void gelu_back(const uint16_t *u, uint16_t *g, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        v16 x = get(u + i);
        v16 s = inverse(1.0F + power(x * (x * x * GELU_B + 1.0F) * -GELU_A));
        put(g + i, get(g + i) * (s + x * s * (1.0F - s) * (x * x * (3.0F * GELU_B) + 1.0F) * GELU_A));
    }
}

// y [rows][d] = silu(gate) * up; u [rows][2d] holds gate and up side by side.
void swiglu(const uint16_t *u, uint16_t *y, int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++, u += 2 * d, y += d)
        for (int64_t i = 0; i < d; i += 16) {
            v16 x = get(u + i);
            put(y + i, x * inverse(1.0F + power(-x)) * get(u + d + i));
        }
}

// u becomes its gradient.
void swiglu_back(uint16_t *u, const uint16_t *g, int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++, u += 2 * d, g += d)
        for (int64_t i = 0; i < d; i += 16) {
            v16 x = get(u + i), up = get(u + d + i), a = get(g + i), s = inverse(1.0F + power(-x));
            put(u + d + i, a * x * s);
            put(u + i, a * up * s * (1.0F + x * (1.0F - s)));
        }
}

// Turns neighbours (2i, 2i + 1) of the rows of x [many][n][d] by the angle of their position: `cosine` and `sine` [n][d], each angle
// twice and the sine's first with a minus. `back` is 1, or -1 to turn back.
void rope(uint16_t *x, const float *cosine, const float *sine, int64_t many, int64_t n, int64_t d, float back)
{
    const i16x32 neighbours = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14};
    for (int64_t r = 0; r < many * n; r++, x += d) {
        const float *c = cosine + r % n * d, *s = sine + r % n * d;
        for (int64_t i = 0; i < d; i += 16) {
            v16 a = get(x + i);
            put(x + i, a * getf(c + i) + __builtin_shuffle(a, neighbours) * getf(s + i) * back);
        }
    }
}

// Rows of s [many][n][n] become softmax(scale * row) over the row's own position and those before it, and 0 behind.
void softmax_causal(uint16_t *s, int64_t many, int64_t n, float scale)
{
    const v16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int64_t r = 0; r < many * n; r++, s += n) {
        v16 e[n / 16], top = splat(-INFINITY), total = {0};
        int64_t own = r % n, parts = own / 16 + 1;
        for (int64_t i = 0; i < parts; i++) {
            i16x32 there = lanes <= (float)(own - i * 16);
            e[i] = (v16)(((i16x32)get(s + i * 16) & there) | ((i16x32)splat(-1e30F) & ~there));
            top = most(top, e[i]);
        }
        float high = highest(top) * scale;
        for (int64_t i = 0; i < parts; i++) {
            i16x32 there = lanes <= (float)(own - i * 16);
            e[i] = (v16)((i16x32)power(e[i] * scale - high) & there);
            total += e[i];
        }
        float share = 1.0F / sum(total);
        for (int64_t i = 0; i < parts; i++)
            put(s + i * 16, e[i] * share);
        memset(s + parts * 16, 0, (size_t)(n - parts * 16) * sizeof *s);
    }
}

// x += y where y is given; out = x / root mean square * weight; how[r] = 1 / root mean square.
void rms(uint16_t *x, const uint16_t *y, const float *weight, uint16_t *out, float *how, int64_t rows, int64_t d,
         float eps)
{
    for (int64_t r = 0; r < rows; r++, x += d, out += d) {
        v16 square = {0};
        for (int64_t i = 0; i < d; i += 16) {
            if (y)
                put(x + i, get(x + i) + get(y + r * d + i));
            square += get(x + i) * get(x + i);
        }
        how[r] = 1.0F / sqrtf(sum(square) / (float)d + eps);
        for (int64_t i = 0; i < d; i += 16)
            put(out + i, get(x + i) * how[r] * getf(weight + i));
    }
}

// side += the gradient of x that comes through the norm; dweight is added to.
void rms_back(const uint16_t *g, const uint16_t *x, const float *weight, const float *how, uint16_t *side,
              float *dweight, int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++, x += d, g += d, side += d) {
        v16 along = {0};
        for (int64_t i = 0; i < d; i += 16) {
            v16 a = get(g + i), z = get(x + i) * how[r], dw = getf(dweight + i) + a * z;
            memcpy(dweight + i, &dw, sizeof dw);
            along += a * getf(weight + i) * z;
        }
        float mean = sum(along) / (float)d;
        for (int64_t i = 0; i < d; i += 16)
            put(side + i, get(side + i) + (get(g + i) * getf(weight + i) - get(x + i) * how[r] * mean) * how[r]);
    }
}

// Rows of s become softmax(scale * row).
void softmax(uint16_t *s, int64_t rows, int64_t d, float scale)
{
    for (int64_t r = 0; r < rows; r++, s += d) {
        v16 top = splat(-INFINITY), total = {0};
        for (int64_t i = 0; i < d; i += 16)
            top = most(top, get(s + i));
        float high = highest(top) * scale;
        v16 e[d / 16];
        for (int64_t i = 0; i < d; i += 16)
            total += e[i / 16] = power(get(s + i) * scale - high);
        float share = 1.0F / sum(total);
        for (int64_t i = 0; i < d; i += 16)
            put(s + i, e[i / 16] * share);
    }
}

// Rows of g become the gradient in front of the softmax whose result is p.
void softmax_back(const uint16_t *p, uint16_t *g, int64_t rows, int64_t d, float scale)
{
    for (int64_t r = 0; r < rows; r++, p += d, g += d) {
        v16 total = {0};
        for (int64_t i = 0; i < d; i += 16)
            total += get(p + i) * get(g + i);
        float mean = sum(total);
        for (int64_t i = 0; i < d; i += 16)
            put(g + i, get(p + i) * (get(g + i) - mean) * scale);
    }
}

// x += y where y is given; out = layer norm of x; how[2r], how[2r+1] = mean and 1 / standard deviation.
void norm(uint16_t *x, const uint16_t *y, const float *weight, const float *bias, uint16_t *out, float *how,
          int64_t rows, int64_t d, float eps)
{
    for (int64_t r = 0; r < rows; r++, x += d, out += d) {
        v16 total = {0}, square = {0};
        for (int64_t i = 0; i < d; i += 16) {
            v16 a = get(x + i);
            if (y) {
                put(x + i, a + get(y + r * d + i));
                a = get(x + i);
            }
            total += a;
            square += a * a;
        }
        float mean = sum(total) / (float)d, var = sum(square) / (float)d - mean * mean;
        float turn = 1.0F / sqrtf((var > 0 ? var : 0) + eps);
        how[2 * r] = mean;
        how[2 * r + 1] = turn;
        for (int64_t i = 0; i < d; i += 16)
            put(out + i, (get(x + i) - mean) * turn * getf(weight + i) + getf(bias + i));
    }
}

// side += the gradient of x that comes through the norm; dweight and dbias are added to.
void norm_back(const uint16_t *g, const uint16_t *x, const float *weight, const float *how, uint16_t *side,
               float *dweight, float *dbias, int64_t rows, int64_t d)
{
    for (int64_t r = 0; r < rows; r++, x += d, g += d, side += d) {
        v16 one = {0}, two = {0};
        float mean = how[2 * r], turn = how[2 * r + 1];
        for (int64_t i = 0; i < d; i += 16) {
            v16 a = get(g + i), z = (get(x + i) - mean) * turn, w = a * getf(weight + i);
            v16 dw = getf(dweight + i) + a * z, db = getf(dbias + i) + a;
            memcpy(dweight + i, &dw, sizeof dw);
            memcpy(dbias + i, &db, sizeof db);
            one += w;
            two += w * z;
        }
        float m1 = sum(one) / (float)d, m2 = sum(two) / (float)d;
        for (int64_t i = 0; i < d; i += 16) {
            v16 z = (get(x + i) - mean) * turn;
            put(side + i, get(side + i) + (get(g + i) * getf(weight + i) - m1 - z * m2) * turn);
        }
    }
}

// out[d] = sum over rows of g[rows][d].
void columns(const uint16_t *g, float *out, int64_t rows, int64_t d)
{
    memset(out, 0, (size_t)d * sizeof *out);
    for (int64_t r = 0; r < rows; r++, g += d)
        for (int64_t i = 0; i < d; i += 16) {
            v16 s = getf(out + i) + get(g + i);
            memcpy(out + i, &s, sizeof s);
        }
}

// Sum over rows of weight * cross-entropy of logits [rows][n] (any n) with the wanted class; logits become their gradient.
double cross_entropy(uint16_t *logits, const int64_t *wanted, const float *weight, int64_t rows, int64_t n)
{
    double loss = 0;
    int64_t whole = n / 16 * 16, parts = (n + 15) / 16;
    for (int64_t r = 0; r < rows; r++, logits += n) {
        v16 e[parts], top = splat(-INFINITY), total = {0};
        uint16_t rest[16];
        for (int i = 0; i < 16; i++)
            rest[i] = 0xff80; // minus infinity
        memcpy(rest, logits + whole, (size_t)(n - whole) * sizeof *rest);
        for (int64_t i = 0; i < parts; i++)
            top = most(top, e[i] = get(i * 16 < whole ? logits + i * 16 : rest));
        float high = highest(top), own = e[wanted[r] / 16][wanted[r] % 16];
        for (int64_t i = 0; i < parts; i++)
            total += e[i] = power(e[i] - high);
        float all = sum(total), w = weight[r];
        loss += w * (logf(all) + high - own);
        e[wanted[r] / 16][wanted[r] % 16] -= all;
        for (int64_t i = 0; i < parts; i++) {
            v16 g = e[i] * (w / all);
            if (i * 16 < whole)
                put(logits + i * 16, g);
            else {
                put(rest, g);
                memcpy(logits + whole, rest, (size_t)(n - whole) * sizeof *rest);
            }
        }
    }
    return loss;
}
