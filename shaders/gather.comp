// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// y[n, d] = rows ids[i] of a table, or without ids row i; an invocation takes a unit of a row.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const bool HAS_IDS = true;

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 4) uniform itextureBuffer ids_view;
layout(push_constant) uniform P { push_weight weight; push_gather push; };

void main()
{
    int groups = groups_of_unit(), units = (weight.cols + 4 * groups - 1) / (4 * groups);
    int i = invocation(), u = i % units;
    i /= units;
    if (i >= push.n)
        return;
    int id = push.id0 + i;
    if (HAS_IDS)
        id = texelFetch(ids_view, push.ids_base + id).x;
    bool inside = id >= 0 && id < push.v;
    if (inside ? id < push.first || id >= push.end : push.zero == 0)
        return;
    unit v = fetch_unit(weight, inside ? id - push.first : 0, u);
    [[unroll]] for (int g = 0; g < 8; g++) {
        if (g >= groups)
            continue;
        vec4 w = weights_of(v, g);
        int column = 4 * group_of_row(u, g);
        [[unroll]] for (int e = 0; e < 4; e++)
            if (column + e < weight.cols)
                y[push.y_base + i * weight.cols + column + e] = inside ? w[e] : 0.0;
    }
}
