/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/type.h"

#include <string.h>

static const struct type_traits traits[TYPE_LIMIT] = {
    [TYPE_F32] = {"F32", 1, 4, true},         [TYPE_F16] = {"F16", 1, 2, true},
    [TYPE_Q4_0] = {"Q4_0", 32, 18, true},     [TYPE_Q4_1] = {"Q4_1", 32, 20, true},
    [TYPE_Q5_0] = {"Q5_0", 32, 22, true},     [TYPE_Q5_1] = {"Q5_1", 32, 24, true},
    [TYPE_Q8_0] = {"Q8_0", 32, 34, true},     [TYPE_Q2_K] = {"Q2_K", 256, 84, true},
    [TYPE_Q3_K] = {"Q3_K", 256, 110, true},   [TYPE_Q4_K] = {"Q4_K", 256, 144, true},
    [TYPE_Q5_K] = {"Q5_K", 256, 176, true},   [TYPE_Q6_K] = {"Q6_K", 256, 210, true},
    [TYPE_IQ4_NL] = {"IQ4_NL", 32, 18, true}, [TYPE_IQ4_XS] = {"IQ4_XS", 256, 136, true},
    [TYPE_I32] = {"I32", 1, 4, false},        [TYPE_BF16] = {"BF16", 1, 2, true},
    [TYPE_MXFP4] = {"MXFP4", 32, 17, true},
};

const struct type_traits *compute_type(int type)
{
    return type >= 0 && type < TYPE_LIMIT && traits[type].name ? &traits[type] : NULL;
}

static uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float compute_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 31;
    uint32_t mantissa = h & 0x3ff;
    if (exponent == 31)
        return bits_float(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0)
        return bits_float(sign | float_bits((float)mantissa * 0x1p-24f));
    return bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t compute_f32_to_f16(float f)
{
    uint32_t u = float_bits(f);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    uint32_t magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* subnormal: adding 0.5 leaves the rounded mantissa in the low bits */
        float shifted = bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_bits(shifted) - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1); /* nearest, ties to even */
    return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

uint16_t compute_f32_to_bf16(float f)
{
    uint32_t u = float_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
