// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// A table of positions resized, bilinear; an invocation makes one element.
#include "common.glsl"

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer x_view;
layout(push_constant) uniform P { push_resample push; };

// Between which samples of `count` index i of `wanted` falls, and how near to the second: by whole numbers, which don't round.
void place(int i, int count, int wanted, out int first, out int second, out float mixing)
{
    int at = push.align_corners != 0 ? i * (count - 1) : (2 * i + 1) * count - wanted;
    int unit = push.align_corners != 0 ? max(wanted - 1, 1) : 2 * wanted;
    at = clamp(at, 0, (count - 1) * unit);
    first = at / unit;
    second = min(first + 1, count - 1);
    mixing = float(at % unit) / float(unit);
}

float load(int y_in, int x_in, int column)
{
    return texelFetch(x_view, push.x_base + (y_in * push.in_w + x_in) * push.cols + column).x;
}

void main()
{
    int i = invocation();
    if (i >= push.n)
        return;
    int row = i / push.cols, column = i % push.cols;
    int y0, y1, x0, x1;
    float fy, fx;
    place(row / push.out_w, push.in_h, push.out_h, y0, y1, fy);
    place(row % push.out_w, push.in_w, push.out_w, x0, x1, fx);
    float top = mix(load(y0, x0, column), load(y0, x1, column), fx);
    float bottom = mix(load(y1, x0, column), load(y1, x1, column), fx);
    y[push.y_base + i] = mix(top, bottom, fy);
}
