// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// y = x, which is F32, in another type; an invocation takes 4 elements, or a block of Q8_0. (To F32: gather.comp.)
#include "common.glsl"
#include "store.glsl"

layout(binding = 1) uniform textureBuffer x_view; // single elements; vec4s for Q8_0
layout(push_constant) uniform P { push_convert push; };

void main()
{
    int i = invocation();
    if (TYPE == Q8_0) {
        if (32 * i >= push.n)
            return;
        vec4 x[8];
        [[unroll]] for (int k = 0; k < 8; k++)
            x[k] = texelFetch(x_view, push.x_base + 8 * i + k);
        store_q8_0(push.y_base + 17 * i, x);
        return;
    }
    for (int c = 4 * i; c < min(4 * i + 4, push.n); c++)
        store_element(push.y_base + c, texelFetch(x_view, push.x_base + c).x);
}
