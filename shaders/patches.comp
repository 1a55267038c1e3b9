// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Patches of pictures as rows, each ordered (channel, y, x); an invocation makes one element.
#include "common.glsl"

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer x_view;
layout(push_constant) uniform P { push_patches push; };

void main()
{
    int i = invocation();
    if (i >= push.n)
        return;
    int area = push.side * push.side, across = push.width / push.side, down = push.height / push.side;
    int row = i / (push.channels * area), column = i % (push.channels * area);
    int channel = column / area, dy = column % area / push.side, dx = column % push.side;
    int picture = row / (across * down), py = row / across % down, px = row % across;
    int line = (picture * push.channels + channel) * push.height + py * push.side + dy;
    y[push.y_base + i] = texelFetch(x_view, push.x_base + line * push.width + px * push.side + dx).x;
}
