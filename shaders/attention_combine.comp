// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Joins what the splits of attention.comp left: of each (query, head) and split a maximum, a sum of weights and the weighted
// values. An invocation makes one element.
#include "common.glsl"

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer parts;
layout(push_constant) uniform P { push_combine push; };

float part(int at)
{
    return texelFetch(parts, push.part_base + at).x;
}

void main()
{
    int i = invocation(), width = push.d_value + 2;
    if (i >= push.n * push.d_value)
        return;
    int first = i / push.d_value * push.splits * width, column = i % push.d_value;
    float largest = -1e30;
    for (int s = 0; s < push.splits; s++)
        largest = max(largest, part(first + s * width));
    float total = 0.0, value = 0.0;
    for (int s = 0; s < push.splits; s++) {
        int at = first + s * width;
        float weight = exp(part(at) - largest);
        total += weight * part(at + 1);
        value += weight * part(at + 2 + column);
    }
    y[push.y_base + i] = total > 0.0 ? value / total : 0.0;
}
