// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "norm.glsl"
#include "reduce.glsl"

void main()
{
    int row = workgroup(), lane = int(gl_LocalInvocationID.x), lanes = int(gl_WorkGroupSize.x);
    if (row >= push.n)
        return;
    vec4 squares = vec4(0);
    for (int i = lane; i < columns(); i += lanes) {
        vec4 x = load_x(row, i);
        squares += x * x;
    }
    float mean = sum_of_workgroup(dot(squares, vec4(1))) / float(push.cols);
    float scale = 1.0 / sqrt(mean + push.eps);
    for (int i = lane; i < columns(); i += lanes)
        store(row, i, load_x(row, i) * scale);
}
