// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
// Of each row of x[n, cols] the power of two by which matmul_coop.comp divides it: at most twice its largest |x|, at least as much.
// A subgroup takes a row.
#include "common.glsl"

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer x_view;
layout(push_constant) uniform P { push_row_scale push; };

void main()
{
    int row = workgroup(), fours = push.cols / 4;
    if (row >= push.n)
        return;
    vec4 largest = vec4(0);
    for (int i = int(gl_LocalInvocationID.x); i < fours; i += int(gl_WorkGroupSize.x))
        largest = max(largest, abs(texelFetch(x_view, push.x_base + row * fours + i)));
    float peak = subgroupMax(max(max(largest.x, largest.y), max(largest.z, largest.w)));
    // The next power of two, of normal numbers whose inverse is one as well.
    uint exponent = clamp((floatBitsToUint(peak) >> 23) + 1u, 1u, 253u);
    if (subgroupElect())
        y[push.y_base + row] = uintBitsToFloat(exponent << 23);
}
