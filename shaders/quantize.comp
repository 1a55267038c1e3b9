// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Rounds activations for products with quantised weights, in blocks of 32; an invocation takes a block.
// For matmul_dot.comp to 8 bits: 32 signed bytes in steps of max|x| / 127, then max|x| (the step itself may be too small for a
// normal number), then the sums of the first and of the last 16 quants; 48 bytes in all.
// For matmul_half.comp to 16 bits: 32 f16 numbers x / max|x|, then max|x|, then their sums in the same way; 80 bytes.
#include "common.glsl"

layout(constant_id = 1) const bool HALVES = false;

layout(binding = 0) writeonly buffer Y { uvec4 y[]; };
layout(binding = 1) uniform textureBuffer x_view;
layout(push_constant) uniform P { push_quantize push; };

void main()
{
    int i = invocation();
    if (i >= push.n)
        return;
    vec4 x[8], largest = vec4(0);
    [[unroll]] for (int k = 0; k < 8; k++) {
        x[k] = texelFetch(x_view, push.x_base + 8 * i + k);
        largest = max(largest, abs(x[k]));
    }
    float peak = max(max(largest.x, largest.y), max(largest.z, largest.w));
    float inverse = peak >= 1.17549435e-38 ? 1.0 / peak : 0.0;
    uvec4 words[4];
    vec2 sums = vec2(0);
    [[unroll]] for (int k = 0; k < 8; k++) {
        vec4 scaled = x[k] * inverse, rounded;
        if (HALVES) {
            uvec2 halves = uvec2(packHalf2x16(scaled.xy), packHalf2x16(scaled.zw));
            words[k / 2][k % 2 * 2] = halves.x;
            words[k / 2][k % 2 * 2 + 1] = halves.y;
            rounded = vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
        } else {
            rounded = clamp(roundEven(scaled * 127.0), vec4(-127), vec4(127));
            uvec4 u = uvec4(ivec4(rounded)) & 255u;
            words[k / 4][k % 4] = u.x | u.y << 8 | u.z << 16 | u.w << 24;
        }
        sums[k / 4] += (rounded.x + rounded.y) + (rounded.z + rounded.w);
    }
    int n_words = HALVES ? 4 : 2, at = push.y_base + (n_words + 1) * i;
    [[unroll]] for (int k = 0; k < 4; k++)
        if (k < n_words)
            y[at + k] = words[k];
    y[at + n_words] = uvec4(floatBitsToUint(peak), HALVES ? floatBitsToUint(sums) : uvec2(ivec2(sums)), 0u);
}
