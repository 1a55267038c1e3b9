// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writing of f32 values as the types that caches and activations have, rounded as compute/ref/quantize.c does.

#extension GL_EXT_shader_16bit_storage : require

layout(constant_id = 1) const int TYPE = 0;
const int F32 = 0, F16 = 1, Q8_0 = 8, BF16 = 30; // enum type of compute/type.h

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 0) writeonly buffer Y16 { uint16_t y16[]; };

// To nearest, ties to even; packHalf2x16 may round otherwise.
uint f16_bits(float value)
{
    uint u = floatBitsToUint(value), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return sign | 0x7e00u;
    if (u >= 0x477ff000u)
        return sign | 0x7c00u;
    if (u < 0x38800000u) { // a multiple of 2^-24
        uint shift = min(126u - (u >> 23), 31u);
        uint mantissa = (u & 0x7fffffu) | 0x800000u;
        if (u < 0x33000000u)
            return sign;
        uint low = mantissa & (1u << shift) - 1u, tie = 1u << shift - 1u, high = mantissa >> shift;
        return sign | high + uint(low > tie || (low == tie && (high & 1u) != 0u));
    }
    u += 0xfffu + (u >> 13 & 1u);
    return sign | (u >> 13) - 0x1c000u;
}

uint bf16_bits(float value)
{
    uint u = floatBitsToUint(value);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return u >> 16 | 64u;
    return u + 0x7fffu + (u >> 16 & 1u) >> 16;
}

uint bits16(int type, float value)
{
    return type == F16 ? f16_bits(value) : bf16_bits(value);
}

// Element `at` of a tensor without blocks.
void store_element(int at, float value)
{
    if (TYPE == F32)
        y[at] = value;
    else
        y16[at] = uint16_t(bits16(TYPE, value));
}

float round_away(float x)
{
    return sign(x) * floor(abs(x) + 0.5);
}

// A block of 32 at 16-bit element `at`.
void store_q8_0(int at, vec4 x[8])
{
    vec4 largest = vec4(0);
    [[unroll]] for (int i = 0; i < 8; i++)
        largest = max(largest, abs(x[i]));
    float scale = min(max(max(largest.x, largest.y), max(largest.z, largest.w)) / 127.0, 65504.0);
    uint bits = f16_bits(scale);
    y16[at] = uint16_t(bits);
    [[unroll]] for (int i = 0; i < 16; i++) {
        vec2 pair = (i % 2 == 0 ? x[i / 2].xy : x[i / 2].zw) / scale;
        ivec2 q = bits == 0u ? ivec2(0)
                             : ivec2(clamp(vec2(round_away(pair.x), round_away(pair.y)), vec2(-127), vec2(127)));
        y16[at + 1 + i] = uint16_t(uint(q.x & 255) | uint(q.y & 255) << 8);
    }
}
