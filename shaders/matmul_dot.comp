// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
// matmul.comp for quantised weights on devices with fast integer dot products: x was rounded to 8 bits by quantize.comp, and
// four products at a time are added up as integers. Only for many tokens: for few, reading the weight is what takes time.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 4) const int ROW_LANES = 8;
layout(constant_id = 5) const int TOKEN_LANES = 1;
layout(constant_id = 6) const int ROWS = 4;
layout(constant_id = 7) const int TOKENS = 8;
layout(constant_id = 8) const bool HAS_BIAS = false;
layout(constant_id = 9) const bool HAS_ADDEND = false;

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 4) uniform utextureBuffer x_view; // blocks of 3 words of 16 bytes
layout(binding = 5) uniform textureBuffer bias_view;
layout(binding = 6) uniform textureBuffer addend_view;
layout(push_constant) uniform P { push_weight weight; push_matmul push; };

// OpSDotKHR of two words of four signed bytes; the literal says that they are packed so.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_of_bytes(uint a, uint b, spirv_literal int format);

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
            uvec4 w[ROWS];
            vec2 scales[ROWS];
            [[unroll]] for (int r = 0; r < ROWS; r++)
                scales[r] = (run == 0 ? v[r].scale.xy : v[r].scale.zw) / 127.0;
            [[unroll]] for (int r = 0; r < ROWS; r++)
                [[unroll]] for (int g = 0; g < 4; g++)
                    w[r][g] = quants_of(v[r], 4 * run + g);
            [[unroll]] for (int t = 0; t < TOKENS; t++) {
                int at = push.x_base + 3 * (tokens[t] * blocks + group / 8), half_block = group / 4 % 2;
                uvec4 x = texelFetch(x_view, at + half_block), tail = texelFetch(x_view, at + 2);
                float peak = uintBitsToFloat(tail.x), sum = float(int(half_block == 0 ? tail.y : tail.z));
                [[unroll]] for (int r = 0; r < ROWS; r++) {
                    int dots = 0;
                    [[unroll]] for (int g = 0; g < 4; g++)
                        dots += dot_of_bytes(w[r][g], x[g], 0);
                    sums[r][t] = fma(peak, fma(scales[r].x, float(dots), scales[r].y * sum), sums[r][t]);
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
