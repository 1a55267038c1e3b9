// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Row i of x[n, d] goes to row ids[i] of y; an invocation takes 4 elements, or a block of Q8_0.
#include "common.glsl"
#include "store.glsl"

layout(binding = 1) uniform textureBuffer x_view; // single elements; vec4s for Q8_0
layout(binding = 2) uniform itextureBuffer ids_view;
layout(push_constant) uniform P { push_scatter push; };

void main()
{
    int width = TYPE == Q8_0 ? 32 : 4, chunks = (push.cols + width - 1) / width;
    int i = invocation(), chunk = i % chunks;
    i /= chunks;
    if (i >= push.n)
        return;
    int id = texelFetch(ids_view, push.ids_base + i).x;
    if (id < push.first || id >= push.end)
        return;
    id -= push.first;
    if (TYPE == Q8_0) {
        vec4 x[8];
        [[unroll]] for (int k = 0; k < 8; k++)
            x[k] = texelFetch(x_view, push.x_base + i * (push.cols / 4) + 8 * chunk + k);
        store_q8_0(push.y_base + 17 * (id * (push.cols / 32) + chunk), x);
        return;
    }
    for (int c = 4 * chunk; c < min(4 * chunk + 4, push.cols); c++)
        store_element(push.y_base + id * push.cols + c, texelFetch(x_view, push.x_base + i * push.cols + c).x);
}
