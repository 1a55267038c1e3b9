// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
// Attention in flash form (arXiv 2205.14135): one sweep over the cells with a running maximum.
//
// All query heads that read one kv head are rows alike: row f is query f / group, head f % group of the group. A workgroup takes
// a tile of rows of one kv head; its invocations are a grid of ROW_LANES x CELL_LANES x DIM_LANES, the last running fastest. An
// invocation keeps ROWS rows; DIM_LANES of them (neighbours within a subgroup) share the columns of a head; CELL_LANES take
// turns on the cells. Those, and the workgroups along z, each see a part of the cells ("splits"): they leave unfinished sums,
// which attention_combine.comp joins. How many cells there are is read from the buffers, so that a recorded command buffer
// serves a growing cache.
#include "common.glsl"

layout(constant_id = 1) const int K_FORM = 0; // how k's view is read: FOURS, ONES, BLOCKS
layout(constant_id = 2) const int V_FORM = 0;
layout(constant_id = 3) const int ROW_LANES = 8;
layout(constant_id = 4) const int CELL_LANES = 1;
layout(constant_id = 5) const int DIM_LANES = 1;
layout(constant_id = 6) const int ROWS = 1;
layout(constant_id = 7) const int K_FOURS = 16; // of an invocation: a head's columns / 4 / DIM_LANES, rounded up
layout(constant_id = 8) const int V_FOURS = 16;
layout(constant_id = 9) const bool UNFINISHED = false;
layout(constant_id = 10) const int Q_FORM = 0;
layout(constant_id = 11) const bool FULL = false; // all invocations have as many columns of a head

const int FOURS = 0;  // 4 elements a fetch
const int ONES = 1;   // one element a fetch: heads that aren't a multiple of 4 wide
const int BLOCKS = 2; // Q8_0, read as 16-bit integers
const int EIGHTS = 3; // f16, 8 elements a fetch

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform textureBuffer q_view;
layout(binding = 2) uniform textureBuffer k_view; // BLOCKS: 16-bit scales
layout(binding = 3) uniform textureBuffer v_view;
layout(binding = 4) uniform itextureBuffer range_view;
layout(binding = 5) uniform itextureBuffer pages_view;
layout(binding = 6) uniform utextureBuffer k_blocks;
layout(binding = 7) uniform utextureBuffer v_blocks;
layout(push_constant) uniform P { push_attention push; };

const float NONE = -1e30; // a maximum before the first cell; below every logit, and finite

vec4 bytes_to_floats(uint low, uint high)
{
    uint word = low | high << 16;
    return vec4(ivec4(word << 24, word << 16, word << 8, word) >> 24);
}

// Columns 4 * i .. + 3 of a head.
vec4 fetch_q(int row, int i)
{
    if (Q_FORM == FOURS)
        return texelFetch(q_view, push.q_base + row * (push.d_head / 4) + i);
    int at = push.q_base + row * push.d_head + 4 * i;
    vec4 v;
    [[unroll]] for (int e = 0; e < 4; e++)
        v[e] = 4 * i + e < push.d_head ? texelFetch(q_view, at + e).x : 0.0;
    return v;
}

// Fours `four` and `four` + 1 of a head in the row at `at`, which is read as any FORM but EIGHTS.
void fetch_fours(textureBuffer view, utextureBuffer blocks, int form, int at, int head, int d, int four, out vec4 v[2])
{
    [[unroll]] for (int j = 0; j < 2; j++) {
        int i = four + j;
        v[j] = vec4(0);
        if (!FULL && 4 * i >= d)
            continue;
        if (form == FOURS) {
            v[j] = texelFetch(view, at + head * (d / 4) + i);
        } else if (form == BLOCKS) {
            int block = at + (head * (d / 32) + i / 8) * 17, quants = block + 1 + 2 * (i % 8);
            v[j] = texelFetch(view, block).x * bytes_to_floats(texelFetch(blocks, quants).x, texelFetch(blocks, quants + 1).x);
        } else {
            [[unroll]] for (int e = 0; e < 4; e++)
                v[j][e] = 4 * i + e < d ? texelFetch(view, at + head * d + 4 * i + e).x : 0.0;
        }
    }
}

// The same columns in one fetch of f16.
void fetch_eight(utextureBuffer view, int at, int head, int d, int four, out vec4 v[2])
{
    uvec4 word = uvec4(0);
    if (FULL || 4 * four < d)
        word = texelFetch(view, at + head * (d / 8) + four / 2);
    v[0] = vec4(unpackHalf2x16(word.x), unpackHalf2x16(word.y));
    v[1] = vec4(unpackHalf2x16(word.z), unpackHalf2x16(word.w));
}

void fetch_k(int cell, int head, int four, out vec4 k[2])
{
    int at = push.k_base + cell * push.k_row;
    if (K_FORM == EIGHTS)
        fetch_eight(k_blocks, at, head, push.d_head, four, k);
    else
        fetch_fours(k_view, k_blocks, K_FORM, at, head, push.d_head, four, k);
}

void fetch_v(int cell, int head, int four, out vec4 v[2])
{
    int at = push.v_base + cell * push.v_row;
    if (V_FORM == EIGHTS)
        fetch_eight(v_blocks, at, head, push.d_value, four, v);
    else
        fetch_fours(v_view, v_blocks, V_FORM, at, head, push.d_value, four, v);
}

float sum_over_dims(float v)
{
    if (DIM_LANES > 1)
        v += subgroupShuffleXor(v, 1);
    if (DIM_LANES > 2)
        v += subgroupShuffleXor(v, 2);
    if (DIM_LANES > 4)
        v += subgroupShuffleXor(v, 4);
    return v;
}

float limit(float logit)
{
    if (push.softcap == 0.0)
        return logit;
    float e = exp(-2.0 * abs(logit / push.softcap));
    return push.softcap * sign(logit) * (1.0 - e) / (1.0 + e);
}

void main()
{
    int lane = int(gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID);
    int dim_lane = lane % DIM_LANES;
    int cell_lane = lane / DIM_LANES % CELL_LANES;
    int row_lane = lane / DIM_LANES / CELL_LANES;
    int head = int(gl_WorkGroupID.y), n_rows = push.n * push.group;
    int tile = int(gl_WorkGroupID.x) * ROW_LANES * ROWS;
    int split = int(gl_WorkGroupID.z) * CELL_LANES + cell_lane;

    // The cells that any row of the tile can see, so that all invocations walk together.
    int first_query = tile / push.group;
    int last_query = min(tile + ROW_LANES * ROWS - 1, n_rows - 1) / push.group;
    int tile_begin = 0x7fffffff, tile_end = 0;
    for (int i = first_query; i <= last_query; i++) {
        ivec2 range = texelFetch(range_view, push.range_base + i).xy;
        tile_begin = min(tile_begin, range.x);
        tile_end = max(tile_end, range.y);
    }

    vec4 q[ROWS][K_FOURS], sums[ROWS][V_FOURS];
    float largest[ROWS], total[ROWS];
    ivec2 range[ROWS];
    [[unroll]] for (int r = 0; r < ROWS; r++) {
        int f = min(tile + row_lane * ROWS + r, n_rows - 1), query = f / push.group;
        int query_head = (query * push.n_kv + head) * push.group + f % push.group;
        [[unroll]] for (int i = 0; i < K_FOURS; i++)
            q[r][i] = FULL || (dim_lane * K_FOURS + i) * 4 < push.d_head ? fetch_q(query_head, dim_lane * K_FOURS + i) : vec4(0);
        [[unroll]] for (int i = 0; i < V_FOURS; i++)
            sums[r][i] = vec4(0);
        largest[r] = NONE;
        total[r] = 0.0;
        range[r] = texelFetch(range_view, push.range_base + query).xy;
    }

    bool paged = push.paged != 0;
    int n_pages = paged ? texelFetch(pages_view, push.pages_base).x : (push.cells + push.page - 1) / push.page;
    for (int j = int(gl_WorkGroupID.z); j < n_pages; j += int(gl_NumWorkGroups.z)) {
        ivec2 page = paged ? texelFetch(pages_view, push.pages_base + 1 + j).xy : ivec2(j * push.page);
        int end = min(push.page, tile_end - page.y);
        if (!paged)
            end = min(end, push.cells - page.y);
        // Sinks, then what ranges of the tile reach; nobody may have written what lies between.
        int n_sinks = clamp(push.sinks - page.y, 0, max(end, 0));
        int begin = max(tile_begin - page.y, n_sinks);
        int count = n_sinks + max(end - begin, 0);
        for (int c0 = 0; c0 < count; c0 += CELL_LANES) {
            int c = min(c0 + cell_lane, count - 1);
            c += c < n_sinks ? 0 : begin - n_sinks;
            int seq = page.y + c, cell = page.x + c;
            bool counts = c0 + cell_lane < count;
            float logits[ROWS];
            [[unroll]] for (int r = 0; r < ROWS; r++)
                logits[r] = 0.0;
            [[unroll]] for (int i = 0; i < K_FOURS; i += 2) {
                vec4 k[2];
                fetch_k(cell, head, dim_lane * K_FOURS + i, k);
                [[unroll]] for (int e = 0; e < 8; e++)
                    [[unroll]] for (int r = 0; r < ROWS; r++)
                        if (i + e / 4 < K_FOURS)
                            logits[r] = fma(q[r][i + e / 4][e % 4], k[e / 4][e % 4], logits[r]);
            }
            float weights[ROWS];
            bool seen = false; // what no row sees may be NaN
            [[unroll]] for (int r = 0; r < ROWS; r++) {
                float logit = limit(push.scale * sum_over_dims(logits[r]));
                bool visible = counts && ((seq >= range[r].x && seq < range[r].y) || seq < min(push.sinks, range[r].y));
                seen = seen || visible;
                float now = visible ? max(largest[r], logit) : largest[r];
                float shrink = exp(largest[r] - now);
                weights[r] = visible ? exp(logit - now) : 0.0;
                largest[r] = now;
                total[r] = total[r] * shrink + weights[r];
                [[unroll]] for (int i = 0; i < V_FOURS; i++)
                    sums[r][i] *= shrink;
            }
            [[unroll]] for (int i = 0; i < V_FOURS; i += 2) {
                vec4 v[2];
                fetch_v(cell, head, dim_lane * V_FOURS + i, v);
                [[unroll]] for (int j = 0; j < 2; j++) {
                    if (i + j >= V_FOURS)
                        continue;
                    v[j] = mix(vec4(0), v[j], bvec4(seen));
                    [[unroll]] for (int r = 0; r < ROWS; r++)
                        sums[r][i + j] = fma(vec4(weights[r]), v[j], sums[r][i + j]);
                }
            }
        }
    }

    [[unroll]] for (int r = 0; r < ROWS; r++) {
        int f = tile + row_lane * ROWS + r;
        if (f >= n_rows)
            continue;
        int at = (f / push.group * push.n_kv + head) * push.group + f % push.group;
        float scale = UNFINISHED ? 1.0 : total[r] > 0.0 ? 1.0 / total[r] : 0.0;
        if (UNFINISHED) {
            at = (at * push.splits + split) * (push.d_value + 2);
            if (dim_lane == 0) {
                y[push.y_base + at] = largest[r];
                y[push.y_base + at + 1] = total[r];
            }
            at += 2;
        } else {
            at *= push.d_value;
        }
        [[unroll]] for (int i = 0; i < V_FOURS; i++)
            [[unroll]] for (int e = 0; e < 4; e++) {
                int column = 4 * (dim_lane * V_FOURS + i) + e;
                if (column < push.d_value)
                    y[push.y_base + at + column] = sums[r][i][e] * scale;
            }
    }
}
