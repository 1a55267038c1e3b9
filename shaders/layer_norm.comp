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
    vec4 sums = vec4(0);
    for (int i = lane; i < columns(); i += lanes)
        sums += load_x(row, i);
    float mean = sum_of_workgroup(dot(sums, vec4(1))) / float(push.cols);
    vec4 squares = vec4(0);
    for (int i = lane; i < columns(); i += lanes) {
        vec4 x = load_x(row, i) - fill(mean);
        squares += x * x;
    }
    float variance = sum_of_workgroup(dot(squares, vec4(1))) / float(push.cols);
    float scale = 1.0 / sqrt(variance + push.eps);
    for (int i = lane; i < columns(); i += lanes)
        store(row, i, (load_x(row, i) - fill(mean)) * scale);
}
