// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
// matmul.comp for quantised weights on devices with 16-bit arithmetic: x was divided by its blocks' largest numbers and rounded to
// f16 (quantize.comp), quants are whole numbers below 2048, so f16 too, and two products at a time are added up in f16 over a run of
// 16 columns; runs are scaled and added up in f32. Only for many tokens: for few, reading the weight is what takes time.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 4) const int ROW_LANES = 8;
layout(constant_id = 5) const int TOKEN_LANES = 1;
layout(constant_id = 6) const int ROWS = 4;
layout(constant_id = 7) const int TOKENS = 8;
layout(constant_id = 8) const bool HAS_BIAS = false;
layout(constant_id = 9) const bool HAS_ADDEND = false;

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 4) uniform utextureBuffer x_view; // blocks of 5 words of 16 bytes
layout(binding = 5) uniform textureBuffer bias_view;
layout(binding = 6) uniform textureBuffer addend_view;
layout(push_constant) uniform P { push_weight weight; push_matmul push; };

void main()
{
    int lane = int(gl_LocalInvocationID.x);
    int row0 = int(gl_WorkGroupID.x) * ROW_LANES * ROWS + lane % ROW_LANES;
    int token0 = (int(gl_WorkGroupID.y) * TOKEN_LANES + lane / ROW_LANES) * TOKENS;

    int rows[ROWS], tokens[TOKENS];
    [[unroll]] for (int r = 0; r < ROWS; r++)
        rows[r] = min(row0 + r * ROW_LANES, push.m - 1);
    [[unroll]] for (int t = 0; t < TOKENS; t++)
        tokens[t] = min(token0 + t, push.n - 1);
    float sums[ROWS][TOKENS];
    [[unroll]] for (int r = 0; r < ROWS; r++)
        [[unroll]] for (int t = 0; t < TOKENS; t++)
            sums[r][t] = 0.0;

    int blocks = weight.cols / 32;
    for (int u = 0; u < blocks; u++) {
        unit v[ROWS];
        [[unroll]] for (int r = 0; r < ROWS; r++)
            v[r] = fetch_unit(weight, rows[r], u);
        [[unroll]] for (int run = 0; run < 2; run++) {
            int group = group_of_row(u, 4 * run); // the run's first; a block of x has 8
            f16vec4 w[ROWS][4];
            [[unroll]] for (int r = 0; r < ROWS; r++)
                [[unroll]] for (int g = 0; g < 4; g++)
                    w[r][g] = f16vec4(quants(v[r], 4 * run + g));
            [[unroll]] for (int t = 0; t < TOKENS; t++) {
                int at = push.x_base + 5 * (tokens[t] * blocks + group / 8), half_block = group / 4 % 2;
                uvec4 x[2] = {texelFetch(x_view, at + 2 * half_block), texelFetch(x_view, at + 2 * half_block + 1)};
                uvec4 tail = texelFetch(x_view, at + 4);
                float peak = uintBitsToFloat(tail.x), sum = uintBitsToFloat(half_block == 0 ? tail.y : tail.z);
                [[unroll]] for (int r = 0; r < ROWS; r++) {
                    f16vec2 products = f16vec2(0);
                    [[unroll]] for (int g = 0; g < 4; g++) {
                        products = fma(w[r][g].xy, unpackFloat2x16(x[g / 2][g % 2 * 2]), products);
                        products = fma(w[r][g].zw, unpackFloat2x16(x[g / 2][g % 2 * 2 + 1]), products);
                    }
                    vec2 scale = run == 0 ? v[r].scale.xy : v[r].scale.zw;
                    sums[r][t] = fma(peak, fma(scale.x, float(products.x) + float(products.y), scale.y * sum), sums[r][t]);
                }
            }
        }
    }

    [[unroll]] for (int r = 0; r < ROWS; r++) {
        int row = row0 + r * ROW_LANES;
        float bias = HAS_BIAS ? texelFetch(bias_view, push.bias_base + rows[r]).x : 0.0;
        [[unroll]] for (int t = 0; t < TOKENS; t++) {
            if (row >= push.m || token0 + t >= push.n)
                continue;
            int at = (token0 + t) * push.y_row + row;
            float value = sums[r][t] + bias;
            if (HAS_ADDEND)
                value += texelFetch(addend_view, push.addend_base + at).x;
            y[push.y_base + at] = value;
        }
    }
}
