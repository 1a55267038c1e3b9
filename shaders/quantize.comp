// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Rounds activations to 8 bits for matmul_dot.comp: of each 32 elements 32 signed bytes in steps of max|x| / 127, then max|x|
// (the step itself may be too small for a normal number), then the sums of the first and of the last 16 quants; 48 bytes in
// all. An invocation takes a block.
#include "common.glsl"

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
    uvec4 words[2];
    ivec2 sums = ivec2(0);
    [[unroll]] for (int k = 0; k < 8; k++) {
        ivec4 q = ivec4(clamp(roundEven(x[k] * inverse * 127.0), vec4(-127), vec4(127)));
        sums[k / 4] += q.x + q.y + q.z + q.w;
        uvec4 u = uvec4(q) & 255u;
        words[k / 4][k % 4] = u.x | u.y << 8 | u.z << 16 | u.w << 24;
    }
    y[push.y_base + 3 * i] = words[0];
    y[push.y_base + 3 * i + 1] = words[1];
    y[push.y_base + 3 * i + 2] = uvec4(floatBitsToUint(peak), uvec2(sums), 0u);
}
