// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Rotates pairs of columns; an invocation takes a pair of all heads of a row, and what columns aren't rotated.
//
// Angles are 32-bit fractions of a turn: a position times the fraction's 64 bits, modulo a turn. That is exact for every
// position, where a product of floats would lose the low bits of the angle for large ones; and positions are whole, so whole
// turns of the frequency don't count.
#include "common.glsl"
#include "store.glsl"

layout(constant_id = 2) const bool NEIGHBOURS = false; // pairs (2i, 2i+1); otherwise (i, i + n_rot/2)

layout(constant_id = 3) const bool PAIR = false;       // turns x2[n, cols2] as well, whose heads are alike

layout(binding = 1) uniform textureBuffer x_view;      // single elements
layout(binding = 4) uniform textureBuffer x2_view;
layout(binding = 2) uniform itextureBuffer pos_view;   // (t, h, w, -)
layout(binding = 3) uniform utextureBuffer table_view; // of each pair: upper and lower 32 bits of its turn, which position
layout(binding = 8) writeonly buffer Y2 { float y2[]; };
layout(binding = 8) writeonly buffer Y2_16 { uint16_t y2_16[]; };
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
    else if (TYPE == F32)
        y2[push.y2_base + at] = value;
    else
        y2_16[push.y2_base + at] = uint16_t(bits16(value));
}

// Pair i of all heads of a row, or the column that isn't rotated after all pairs.
void turn_row(bool second, int row, int i, vec2 turn)
{
    int pairs = push.n_rot / 2, cols = second ? push.cols2 : push.cols;
    int a = NEIGHBOURS ? 2 * i : i, b = NEIGHBOURS ? a + 1 : a + pairs;
    for (int head = row * cols; head < (row + 1) * cols; head += push.d_head) {
        if (i >= pairs) {
            store(second, head + pairs + i, load(second, head + pairs + i));
        } else {
            float xa = load(second, head + a), xb = load(second, head + b);
            store(second, head + a, xa * turn.x - xb * turn.y);
            store(second, head + b, xa * turn.y + xb * turn.x);
        }
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
    turn_row(false, row, i, turn);
    if (PAIR)
        turn_row(true, row, i, turn);
}
