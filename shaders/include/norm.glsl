// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading and writing of norms: a workgroup takes a row, 4 elements at a time or in SCALAR one at a time in .x.

layout(constant_id = 1) const bool SCALAR = false;
layout(constant_id = 2) const bool HAS_WEIGHT = false;
layout(constant_id = 3) const bool HAS_BIAS = false;

layout(binding = 0) writeonly buffer Y4 { vec4 y4[]; };
layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer x_view;
layout(binding = 2) uniform textureBuffer weight_view;
layout(binding = 3) uniform textureBuffer bias_view;
layout(push_constant) uniform P { push_norm push; };

// `value` in every element that a column has.
vec4 fill(float value)
{
    return SCALAR ? vec4(value, 0, 0, 0) : vec4(value);
}

// What a view calls a column: 4 elements, or one.
int columns()
{
    return SCALAR ? push.cols : push.cols / 4;
}

vec4 load_x(int row, int i)
{
    vec4 x = texelFetch(x_view, push.x_base + row * columns() + i);
    return SCALAR ? vec4(x.x, 0, 0, 0) : x;
}

void store(int row, int i, vec4 value)
{
    if (HAS_WEIGHT)
        value *= texelFetch(weight_view, push.weight_base + i);
    if (HAS_BIAS)
        value += texelFetch(bias_view, push.bias_base + i);
    int at = push.y_base + row * columns() + i;
    if (SCALAR)
        y[at] = value.x;
    else
        y4[at] = value;
}
