// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Rotates pairs of columns; an invocation takes a pair of all heads of a row, and what columns aren't rotated. Queries, keys and
// values of a layer can go at once: keys are turned into the cache, values copied there.
//
// Angles are 32-bit fractions of a turn: a position times the fraction's 64 bits, modulo a turn. That is exact for every
// position, where a product of floats would lose the low bits of the angle for large ones; and positions are whole, so whole
// turns of the frequency don't count.
#include "common.glsl"
#include "store.glsl"

layout(constant_id = 2) const bool NEIGHBOURS = false; // pairs (2i, 2i+1); otherwise (i, i + n_rot/2)
layout(constant_id = 3) const int PARTS = 1;           // sum of TURN_FIRST, TURN_SECOND, COPY_THIRD
layout(constant_id = 4) const int CACHE_TYPE = 0;      // of the second and third result
layout(constant_id = 5) const bool SCATTER = false;    // those go to the rows that ids name

const int TURN_FIRST = 1, TURN_SECOND = 2, COPY_THIRD = 4;

layout(binding = 8) writeonly buffer Y2 { float y2[]; };
layout(binding = 8) writeonly buffer Y2_16 { uint16_t y2_16[]; };
layout(binding = 9) writeonly buffer Y3 { float y3[]; };
layout(binding = 9) writeonly buffer Y3_16 { uint16_t y3_16[]; };
layout(binding = 1) uniform textureBuffer x_view;      // single elements
layout(binding = 2) uniform itextureBuffer pos_view;   // (t, h, w, -)
layout(binding = 3) uniform utextureBuffer table_view; // of each pair: upper and lower 32 bits of its turn, which position
layout(binding = 4) uniform textureBuffer x2_view;
layout(binding = 5) uniform textureBuffer x3_view;
layout(binding = 6) uniform itextureBuffer ids_view;
layout(push_constant) uniform P { push_rope push; };

uint angle_of(int position, uvec3 pair)
{
    uint upper, lower;
    umulExtended(uint(position), pair.y, upper, lower);
    if (position < 0) // as an unsigned number it is 2^32 too large
        upper -= pair.y;
    return uint(position) * pair.x + upper;
}

// (cos, sin) of an eighth of a turn at the most, by Taylor series: |error| < 1e-7.
vec2 cos_sin(uint turn)
{
    uint quarter = turn + 0x20000000u >> 30;
    float x = float(int(turn - (quarter << 30))) * 1.4629180792671596e-9; // 2 pi / 2^32
    float s = x * x;
    float c = 1.0 + s * (-0.5 + s * (0.041666667 + s * (-0.0013888889 + s * 2.4801587e-5)));
    float d = x * (1.0 + s * (-0.16666667 + s * (0.0083333333 + s * (-1.9841270e-4 + s * 2.7557319e-6))));
    vec2 turned = (quarter & 1u) == 0u ? vec2(c, d) : vec2(-d, c);
    return (quarter & 2u) == 0u ? turned : -turned;
}

float load(bool second, int at)
{
    return second ? texelFetch(x2_view, push.x2_base + at).x : texelFetch(x_view, push.x_base + at).x;
}

void store(bool second, int at, float value)
{
    if (!second)
        store_element(push.y_base + at, value);
    else if (CACHE_TYPE == F32)
        y2[push.y2_base + at] = value;
    else
        y2_16[push.y2_base + at] = uint16_t(bits16(CACHE_TYPE, value));
}

// Pair i of all heads of row `from`, or the column that isn't rotated after all pairs, for row `to` of the result.
void turn_row(bool second, int from, int to, int i, vec2 turn)
{
    int pairs = push.n_rot / 2, cols = second ? push.cols2 : push.cols;
    int a = NEIGHBOURS ? 2 * i : i, b = NEIGHBOURS ? a + 1 : a + pairs;
    for (int head = 0; head < cols; head += push.d_head) {
        int x = from * cols + head, y = to * cols + head;
        if (i >= pairs) {
            store(second, y + pairs + i, load(second, x + pairs + i));
        } else {
            float xa = load(second, x + a), xb = load(second, x + b);
            store(second, y + a, xa * turn.x - xb * turn.y);
            store(second, y + b, xa * turn.y + xb * turn.x);
        }
    }
}

// Every `step`th column of row `from`, from i on.
void copy_row(int from, int to, int i, int step)
{
    for (int column = i; column < push.cols3; column += step) {
        float value = texelFetch(x3_view, push.x3_base + from * push.cols3 + column).x;
        int at = push.y3_base + to * push.cols3 + column;
        if (CACHE_TYPE == F32)
            y3[at] = value;
        else
            y3_16[at] = uint16_t(bits16(CACHE_TYPE, value));
    }
}

void main()
{
    int pairs = push.n_rot / 2, rest = push.d_head - push.n_rot;
    int i = invocation(), row = i / (pairs + rest);
    i %= pairs + rest;
    if (row >= push.n)
        return;
    vec2 turn = vec2(1, 0);
    if (i < pairs) {
        uvec3 pair = texelFetch(table_view, push.table_base + i).xyz;
        int position = texelFetch(pos_view, push.pos_base + row)[pair.z];
        turn = push.attn * cos_sin(angle_of(position, pair));
    }
    if ((PARTS & TURN_FIRST) != 0)
        turn_row(false, row, row, i, turn);
    int to = row;
    if (SCATTER) {
        to = texelFetch(ids_view, push.ids_base + row).x;
        if (to < 0 || to >= push.cells)
            return;
    }
    if ((PARTS & TURN_SECOND) != 0)
        turn_row(true, row, to, i, turn);
    if ((PARTS & COPY_THIRD) != 0)
        copy_row(row, to, i, pairs + rest);
}
