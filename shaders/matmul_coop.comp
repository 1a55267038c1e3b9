// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
// matmul.comp for many tokens on devices with cooperative matrices: 16 x 16 products of f16 that are added up in f32.
//
// A workgroup of four subgroups makes TILE x TILE elements of y, a subgroup a quarter of them. Tiles of w and x pass through
// shared memory as f16. Rows of x come divided by a power of two (row_scale.comp), so that none overflows and small ones keep
// their bits; weights beyond 65504 are taken for that.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 3) const bool HAS_BIAS = false;
layout(constant_id = 4) const bool HAS_ADDEND = false;

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 4) uniform textureBuffer x_view;
layout(binding = 5) uniform textureBuffer bias_view;
layout(binding = 6) uniform textureBuffer addend_view;
layout(binding = 7) uniform textureBuffer scale_view; // of each row of x
layout(push_constant) uniform P { push_weight weight; push_matmul push; };

const int TILE = 64;             // rows of w, and of x
const int STEP = 16;             // fours of columns that a tile has at a time
const int STRIDE = STEP + 2;     // from one row of a tile to the next; two more keep rows off each other's banks
const int SIDE = 16;             // of a matrix

shared f16vec4 w_tile[TILE * STRIDE], x_tile[TILE * STRIDE];
shared float results[4 * SIDE * SIDE];

void main()
{
    int part = int(gl_SubgroupID), lane = int(gl_LocalInvocationID.x), lanes = int(gl_WorkGroupSize.x);
    int row0 = int(gl_WorkGroupID.x) * TILE, token0 = int(gl_WorkGroupID.y) * TILE;
    int part_row = part % 2 * 2 * SIDE, part_token = part / 2 * 2 * SIDE;
    int groups = groups_of_unit(), units = weight.cols / (4 * groups), units_of_step = STEP / groups;

    coopmat<float, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseAccumulator> sums[2][2];
    [[unroll]] for (int i = 0; i < 4; i++)
        sums[i / 2][i % 2] = coopmat<float, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseAccumulator>(0.0);

    for (int u0 = 0; u0 < units; u0 += units_of_step) {
        barrier();
        for (int i = lane; i < TILE * units_of_step; i += lanes) {
            int r = i / units_of_step, u = u0 + i % units_of_step;
            int at = r * STRIDE + i % units_of_step * groups;
            unit v = fetch_unit(weight, min(row0 + r, push.m - 1), min(u, units - 1));
            [[unroll]] for (int g = 0; g < 8; g++)
                if (g < groups)
                    w_tile[at + g] = f16vec4(u < units ? clamp(weights_of(v, g), vec4(-65504), vec4(65504)) : vec4(0));
        }
        for (int i = lane; i < TILE * STEP; i += lanes) {
            int t = i / STEP, u = u0 + i % STEP / groups, token = min(token0 + t, push.n - 1);
            vec4 x = vec4(0);
            if (u < units)
                x = texelFetch(x_view, push.x_base + token * (weight.cols / 4) + group_of_row(u, i % STEP % groups));
            x_tile[t * STRIDE + i % STEP] = f16vec4(x / texelFetch(scale_view, push.scale_base + token).x);
        }
        barrier();
        [[unroll]] for (int k = 0; k < 4 * STEP / SIDE; k++) {
            coopmat<float16_t, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseA> a[2];
            coopmat<float16_t, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseB> b[2];
            [[unroll]] for (int i = 0; i < 2; i++) {
                coopMatLoad(a[i], x_tile, (part_token + i * SIDE) * STRIDE + k * SIDE / 4, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                coopMatLoad(b[i], w_tile, (part_row + i * SIDE) * STRIDE + k * SIDE / 4, STRIDE, gl_CooperativeMatrixLayoutColumnMajor);
            }
            [[unroll]] for (int i = 0; i < 4; i++)
                sums[i / 2][i % 2] = coopMatMulAdd(a[i / 2], b[i % 2], sums[i / 2][i % 2]);
        }
    }

    [[unroll]] for (int i = 0; i < 4; i++) {
        barrier();
        coopMatStore(sums[i / 2][i % 2], results, part * SIDE * SIDE, SIDE, gl_CooperativeMatrixLayoutRowMajor);
        barrier();
        for (int j = int(gl_SubgroupInvocationID); j < SIDE * SIDE; j += int(gl_SubgroupSize)) {
            int token = token0 + part_token + i / 2 * SIDE + j / SIDE, row = row0 + part_row + i % 2 * SIDE + j % SIDE;
            if (token >= push.n || row >= push.m)
                continue;
            int at = token * push.y_row + row;
            float value = results[part * SIDE * SIDE + j] * texelFetch(scale_view, push.scale_base + token).x;
            if (HAS_BIAS)
                value += texelFetch(bias_view, push.bias_base + row).x;
            if (HAS_ADDEND)
                value += texelFetch(addend_view, push.addend_base + at).x;
            y[push.y_base + at] = value;
        }
    }
}
