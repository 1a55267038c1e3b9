// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
// y[n, m] = x[n, k] w[m, k]^T (+ bias[1, m]) (+ addend[n, m])
//
// A workgroup is a grid of ROWS_LANES x TOKEN_LANES x DEPTH_LANES invocations, the last running fastest. Each keeps a tile of
// ROWS weight rows times TOKENS rows of x in registers and walks along k; DEPTH_LANES of them share a tile, take turns on its
// units and add up at the end, all within a subgroup. Products of few tokens (decoding) read whole rows with neighbouring
// lanes; those of many (prefill) reuse what they fetch.
//
// Up to three weights that lie in one buffer are read through the same views: queries, keys and values of a layer, or gate and up.
#include "common.glsl"
#include "functions.glsl"
#include "weights.glsl"

layout(constant_id = 3) const int DEPTH_LANES = 1; // a power of two
layout(constant_id = 4) const int ROW_LANES = 8;
layout(constant_id = 5) const int TOKEN_LANES = 1;
layout(constant_id = 6) const int ROWS = 4;
layout(constant_id = 7) const int TOKENS = 8;
layout(constant_id = 8) const bool HAS_BIAS = false;
layout(constant_id = 9) const bool HAS_ADDEND = false;
layout(constant_id = 10) const bool BY_UNIT = false; // quants are added up before they are scaled
layout(constant_id = 11) const int PARTS = 1;        // products of the same x, one after the other
layout(constant_id = 12) const int GATE = -1;        // activation: y = activation(x gate^T) * (x w^T), gate being also[0]

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 4) uniform textureBuffer x_view;
layout(binding = 5) uniform textureBuffer bias_view;
layout(binding = 6) uniform textureBuffer addend_view;
layout(binding = 8) writeonly buffer Y2 { float y2[]; };
layout(binding = 9) writeonly buffer Y3 { float y3[]; };
layout(push_constant) uniform P { push_weight weight; push_matmul push; push_also also[2]; };

// The weight that a workgroup is about, and where its result goes.
struct task {
    push_weight weight;
    int part, tile, m, y_base, y_row, bias_base;
};

push_weight at_bases(push_also other)
{
    push_weight w = weight;
    w.word_base = other.word_base;
    w.extra_base = other.extra_base;
    w.half_base = other.half_base;
    return w;
}

task own_task()
{
    task t = task(weight, 0, int(gl_WorkGroupID.x), push.m, push.y_base, push.y_row, push.bias_base);
    [[unroll]] for (int i = 0; i < 2; i++)
        if (i + 1 < PARTS && int(gl_WorkGroupID.x) >= also[i].tile)
            t = task(at_bases(also[i]), i + 1, int(gl_WorkGroupID.x) - also[i].tile, also[i].m, also[i].y_base, also[i].m,
                     also[i].bias_base);
    return t;
}

void store(int part, int at, float value)
{
    if (PARTS > 1 && part == 1)
        y2[at] = value;
    else if (PARTS > 2 && part == 2)
        y3[at] = value;
    else
        y[at] = value;
}

vec4 fetch_x(int token, int group)
{
    if (FLOATS > 1)
        return texelFetch(x_view, push.x_base + token * (weight.cols / 4) + group);
    vec4 v = vec4(0);
    [[unroll]] for (int i = 0; i < 4; i++)
        if (4 * group + i < weight.cols)
            v[i] = texelFetch(x_view, push.x_base + token * weight.cols + 4 * group + i).x;
    return v;
}

float sum_over_depth(float v)
{
    if (DEPTH_LANES > 1)
        v += subgroupShuffleXor(v, 1);
    if (DEPTH_LANES > 2)
        v += subgroupShuffleXor(v, 2);
    if (DEPTH_LANES > 4)
        v += subgroupShuffleXor(v, 4);
    if (DEPTH_LANES > 8)
        v += subgroupShuffleXor(v, 8);
    if (DEPTH_LANES > 16)
        v += subgroupShuffleXor(v, 16);
    if (DEPTH_LANES > 32)
        v += subgroupShuffleXor(v, 32);
    return v;
}

// Adds products with the weights of a unit.
void add_by_weight(unit v[ROWS], int u, int tokens[TOKENS], inout float sums[ROWS][TOKENS])
{
    [[unroll]] for (int g = 0; g < 8; g++) {
        if (g >= groups_of_unit())
            continue;
        vec4 w[ROWS];
        [[unroll]] for (int r = 0; r < ROWS; r++)
            w[r] = weights_of(v[r], g);
        [[unroll]] for (int t = 0; t < TOKENS; t++) {
            vec4 x = fetch_x(tokens[t], group_of_row(u, g));
            [[unroll]] for (int i = 0; i < 4; i++)
                [[unroll]] for (int r = 0; r < ROWS; r++)
                    sums[r][t] = fma(w[r][i], x[i], sums[r][t]);
        }
    }
}

// The same, but scales multiply what the quants of a run, or of the unit, have added up to.
void add_by_unit(unit v[ROWS], int u, int tokens[TOKENS], inout float sums[ROWS][TOKENS])
{
    float products[ROWS][TOKENS], xs[TOKENS];
    [[unroll]] for (int g = 0; g < 8; g++) {
        bool first = g % (is_even() ? 8 : 4) == 0, last = g % (is_even() ? 8 : 4) == (is_even() ? 7 : 3);
        vec4 q[ROWS];
        [[unroll]] for (int r = 0; r < ROWS; r++)
            q[r] = quants(v[r], g);
        [[unroll]] for (int t = 0; t < TOKENS; t++) {
            vec4 x = fetch_x(tokens[t], group_of_row(u, g));
            if (!is_centred())
                xs[t] = (first ? 0.0 : xs[t]) + ((x.x + x.y) + (x.z + x.w));
            [[unroll]] for (int r = 0; r < ROWS; r++) {
                products[r][t] = first ? q[r].x * x.x : fma(q[r].x, x.x, products[r][t]);
                [[unroll]] for (int i = 1; i < 4; i++)
                    products[r][t] = fma(q[r][i], x[i], products[r][t]);
                vec2 scale = g < 4 ? v[r].scale.xy : v[r].scale.zw;
                if (last)
                    sums[r][t] = fma(scale.x, products[r][t], sums[r][t]);
                if (last && !is_centred())
                    sums[r][t] = fma(scale.y, xs[t], sums[r][t]);
            }
        }
    }
}

void main()
{
    int lane = int(gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID);
    int depth_lane = lane % DEPTH_LANES;
    int row_lane = lane / DEPTH_LANES % ROW_LANES;
    int token_lane = lane / DEPTH_LANES / ROW_LANES;
    task own = own_task();
    push_weight gate = at_bases(also[0]);
    const int made = GATE < 0 ? ROWS : ROWS / 2; // with a gate, half of the weight rows are its
    int row0 = own.tile * ROW_LANES * made + row_lane;
    int token0 = (int(gl_WorkGroupID.y) * TOKEN_LANES + token_lane) * TOKENS;

    // Tiles may reach over the edge: what lies there is computed from the last row again, and not stored.
    int rows[ROWS], tokens[TOKENS];
    [[unroll]] for (int r = 0; r < ROWS; r++)
        rows[r] = min(row0 + r % made * ROW_LANES, own.m - 1);
    [[unroll]] for (int t = 0; t < TOKENS; t++)
        tokens[t] = min(token0 + t, push.n - 1);

    float sums[ROWS][TOKENS];
    [[unroll]] for (int r = 0; r < ROWS; r++)
        [[unroll]] for (int t = 0; t < TOKENS; t++)
            sums[r][t] = 0.0;

    int groups = groups_of_unit(), units = (weight.cols + 4 * groups - 1) / (4 * groups);
    for (int u = depth_lane; u < units; u += DEPTH_LANES) {
        unit v[ROWS];
        [[unroll]] for (int r = 0; r < ROWS; r++)
            v[r] = fetch_unit(r < made ? own.weight : gate, rows[r], u);
        if (BY_UNIT && !is_float())
            add_by_unit(v, u, tokens, sums);
        else
            add_by_weight(v, u, tokens, sums);
    }

    [[unroll]] for (int r = 0; r < made; r++) {
        int row = row0 + r * ROW_LANES;
        float bias = HAS_BIAS ? texelFetch(bias_view, own.bias_base + rows[r]).x : 0.0;
        [[unroll]] for (int t = 0; t < TOKENS; t++) {
            float value = sum_over_depth(sums[r][t]) + bias;
            if (GATE >= 0)
                value *= activation(GATE, vec4(sum_over_depth(sums[(r + made) % ROWS][t]))).x;
            if (depth_lane != 0 || row >= own.m || token0 + t >= push.n)
                continue;
            int at = (token0 + t) * own.y_row + row;
            if (HAS_ADDEND)
                value += texelFetch(addend_view, push.addend_base + at).x;
            store(own.part, own.y_base + at, value);
        }
    }
}
