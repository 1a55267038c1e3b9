// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading and writing of kernels that treat every element alike, 4 at a time, or in SCALAR (when the count is no multiple of
// 4) one at a time in .x.

layout(constant_id = 1) const bool SCALAR = false;

layout(binding = 0) writeonly buffer Y4 { vec4 y4[]; };
layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer a_view;
layout(binding = 2) uniform textureBuffer b_view;
layout(push_constant) uniform P { push_elementwise push; };

vec4 load_a(int i)
{
    return texelFetch(a_view, push.a_base + i);
}

vec4 load_b(int i)
{
    return texelFetch(b_view, push.b_base + i % push.b_period);
}

void store(int i, vec4 value)
{
    if (SCALAR)
        y[push.y_base + i] = value.x;
    else
        y4[push.y_base + i] = value;
}
