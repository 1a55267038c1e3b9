/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

/* The pair index that YaRN's ramp gives to a wavelength of which `beta` fit into the original context. */
static double ramp_at(const struct rope_params *p, double beta)
{
    return p->n_rot * log(p->yarn_original / (beta * 2 * M_PI)) / (2 * log(p->base));
}

double ref_rope_frequency(const struct rope_params *p, const float *divisors, int i)
{
    double exponent = p->kind == ROPE_VISION ? -4.0 * (i % (p->n_rot / 4)) / p->n_rot : -2.0 * i / p->n_rot;
    double freq = pow(p->base, exponent);
    if (divisors)
        freq /= divisors[i];
    if (p->yarn_ext == 0)
        return p->freq_scale * freq;
    double low = fmax(0, floor(ramp_at(p, p->yarn_beta_fast)));
    double high = fmin(p->n_rot - 1, ceil(ramp_at(p, p->yarn_beta_slow)));
    double ramp = (i - low) / fmax(0.001, high - low);
    double mix = p->yarn_ext * (1 - fmin(1, fmax(0, ramp)));
    return (1 - mix) * p->freq_scale * freq + mix * freq;
}

int ref_rope_axis(const struct rope_params *p, int i)
{
    switch (p->kind) {
    case ROPE_NORM:
    case ROPE_NEOX:
        return 0;
    case ROPE_MROPE:
        return i < p->sections[0] ? 0 : i < p->sections[0] + p->sections[1] ? 1 : 2;
    case ROPE_IMROPE:
        return i % 3 == 1 && i < 3 * p->sections[1] ? 1 : i % 3 == 2 && i < 3 * p->sections[2] ? 2 : 0;
    case ROPE_VISION:
        return i < p->n_rot / 4 ? 0 : 1;
    }
    return 0;
}

static float load(const struct tensor *t, int64_t r, int64_t c)
{
    return ref_at(t, r, c);
}

static void store(const struct tensor *t, int64_t r, int64_t c, double value)
{
    if (t->type == TYPE_F16)
        ((uint16_t *)ref_row(t, r))[c] = compute_f32_to_f16((float)value);
    else
        ((float *)ref_row(t, r))[c] = (float)value;
}

void ref_rope(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct rope_params *p = &op->rope;
    const struct tensor *x = op->src[0], *pos = op->src[1], *dst = op->dst;
    const float *divisors = op->src[2] ? compute_tensor_data(op->src[2]) : NULL;
    int half = p->n_rot / 2;
    for (int64_t r = 0; r < x->rows; r++) {
        const int32_t *position = (const int32_t *)ref_row(pos, r);
        for (int64_t head = 0; head < x->cols; head += p->d_head) {
            for (int i = 0; i < half; i++) {
                double angle = position[ref_rope_axis(p, i)] * ref_rope_frequency(p, divisors, i);
                double cosine = cos(angle) * p->yarn_attn, sine = sin(angle) * p->yarn_attn;
                int64_t a = head + (p->kind == ROPE_NORM ? 2 * i : i);
                int64_t b = p->kind == ROPE_NORM ? a + 1 : a + half;
                double xa = load(x, r, a), xb = load(x, r, b);
                store(dst, r, a, xa * cosine - xb * sine);
                store(dst, r, b, xa * sine + xb * cosine);
            }
            for (int64_t c = head + p->n_rot; c < head + p->d_head; c++)
                store(dst, r, c, load(x, r, c));
        }
    }
}
