// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads weights of every format. A row's blocks were taken apart when the weight was placed (compute/vk/pack.c): first all
// blocks' quants as 16-byte words, then their small integers, then their f16 scales. Texel buffers read each at its own width,
// whatever the device can do with 8 and 16 bits elsewhere. What the bytes mean is said in compute/ref/dequant.c.
//
// Weights are read in units of 32 that share their scales: two runs of 16 elements. Quants of 4 bits keep them in the low and
// in the high halves of the same 16 bytes; that decides which runs form a unit. A group is 4 neighbouring elements, 0..3 in the
// first run and 4..7 in the second. Floats have units of one group, or of two.

layout(constant_id = 1) const int TYPE = 0;        // enum type of compute/type.h, or PLAIN_Q8_0
layout(constant_id = 2) const int FLOATS = 4;      // of floats: elements a fetch; 8 of 16 bits, 4, or 1 where rows aren't a multiple

const int F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13,
          Q6_K = 14, IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, MXFP4 = 39;
const int PLAIN_Q8_0 = 64; // blocks of 34 bytes, as caches have them

layout(binding = 1) uniform utextureBuffer words;
layout(binding = 2) uniform utextureBuffer extras;
layout(binding = 3) uniform textureBuffer halves;

struct unit {
    uvec4 q;    // quants
    uvec4 high; // quants of the second run (Q8_0), or upper bits of quants
    vec4 scale; // weight = scale.x * quant + scale.y in the first run, .z and .w in the second
    int shift;  // where in a byte the first run's bits are
};

bool is_float()
{
    return TYPE == F32 || TYPE == F16 || TYPE == BF16;
}

int groups_of_unit()
{
    return !is_float() ? 8 : FLOATS == 8 ? 2 : 1;
}

// Which group of the row a unit's group is.
int group_of_row(int u, int g)
{
    int block = 64 * (u / 8), r = u % 8; // blocks of 256
    switch (TYPE) {
    case F32:
    case F16:
    case BF16:
        return FLOATS == 8 ? 2 * u + g : u;
    case Q4_K:
    case Q5_K: // halves of a byte are 32 elements apart
        return block + 16 * (r / 2) + 4 * (r % 2) + g % 4 + 8 * (g / 4);
    case Q2_K:
    case Q3_K:
        return block + 32 * (r / 4) + 16 * (r % 4 / 2) + 4 * (r % 2) + g % 4 + 8 * (g / 4);
    case Q6_K: // 64 apart
        return block + 32 * (r / 4) + 8 * (r % 4 / 2) + 4 * (r % 2) + g % 4 + 16 * (g / 4);
    default:
        return 8 * u + g;
    }
}

float half_at(int index)
{
    return texelFetch(halves, index).x;
}

int extra_at(int index)
{
    return int(texelFetch(extras, index).x);
}

// A 6-bit scale of Q3_K among 12 bytes.
int q3_k_scale(int at, int j)
{
    int low = extra_at(at + j % 8) >> 4 * (j / 8) & 15;
    int upper = extra_at(at + 8 + j % 4) >> 2 * (j / 4) & 3;
    return (low | upper << 4) - 32;
}

// Scale and minimum of group j (0..7) of a block of Q4_K or Q5_K, whose first 16 bytes are `head`.
vec2 k_scale(uvec4 head, int j)
{
    vec2 d = unpackHalf2x16(head.x);
    int at = 8 * (j % 4);
    uint a = head.y >> at, b = head.z >> at, c = head.w >> at;
    uvec2 pair = j < 4 ? uvec2(a & 63u, b & 63u)
                       : uvec2((c & 15u) | (a >> 6 & 3u) << 4, (c >> 4 & 15u) | (b >> 6 & 3u) << 4);
    return vec2(d.x, -d.y) * vec2(pair);
}

float power_of_two_scale(uint e)
{
    return uintBitsToFloat(e < 2u ? 0x00200000u << e : e - 1u << 23);
}

unit fetch_unit(push_weight w, int row, int u)
{
    unit v;
    v.q = v.high = uvec4(0);
    v.scale = vec4(1, 0, 1, 0);
    v.shift = 0;
    int word = w.word_base + row * w.word_row;
    int extra = w.extra_base + row * w.extra_row;
    int at = w.half_base + row * w.half_row;
    int block = u / 8, r = u % 8; // of formats with blocks of 256
    float d, m;
    switch (TYPE) {
    case F32:
    case F16:
    case BF16:
        if (FLOATS == 1) {
            [[unroll]] for (int i = 0; i < 4; i++)
                if (4 * u + i < w.cols)
                    v.q[i] = texelFetch(words, word + 4 * u + i).x;
        } else {
            v.q = texelFetch(words, word + u);
        }
        break;
    case Q8_0:
        v.q = texelFetch(words, word + 2 * u);
        v.high = texelFetch(words, word + 2 * u + 1);
        v.scale.xz = vec2(half_at(at + u));
        break;
    case PLAIN_Q8_0: // extras: 16 bits each
        [[unroll]] for (int i = 0; i < 4; i++) {
            v.q[i] = uint(extra_at(extra + 17 * u + 1 + 2 * i)) | uint(extra_at(extra + 17 * u + 2 + 2 * i)) << 16;
            v.high[i] = uint(extra_at(extra + 17 * u + 9 + 2 * i)) | uint(extra_at(extra + 17 * u + 10 + 2 * i)) << 16;
        }
        v.scale.xz = vec2(half_at(at + 17 * u));
        break;
    case Q4_0:
        v.q = texelFetch(words, word + u);
        d = half_at(at + u);
        v.scale = vec4(d, -8.0 * d, d, -8.0 * d);
        break;
    case IQ4_NL:
        v.q = texelFetch(words, word + u);
        v.scale.xz = vec2(half_at(at + u));
        break;
    case MXFP4: // extras: 8 bits each
        v.q = texelFetch(words, word + u);
        v.scale.xz = vec2(power_of_two_scale(uint(extra_at(extra + u))));
        break;
    case Q5_0: // extras: 32 bits each
        v.q = texelFetch(words, word + u);
        v.high.x = uint(extra_at(extra + u));
        d = half_at(at + u);
        v.scale = vec4(d, -16.0 * d, d, -16.0 * d);
        break;
    case Q5_1:
        v.high.x = uint(extra_at(extra + u)); // and on:
    case Q4_1:
        v.q = texelFetch(words, word + u);
        v.scale = vec2(half_at(at + 2 * u), half_at(at + 2 * u + 1)).xyxy;
        break;
    case Q4_K: { // as in the file: 16 bytes of scales, 128 of quants
        uvec4 head = texelFetch(words, word + 9 * block);
        v.q = texelFetch(words, word + 9 * block + 1 + r);
        v.scale = vec4(k_scale(head, r / 2 * 2), k_scale(head, r / 2 * 2 + 1));
        break;
    }
    case Q5_K: { // as in the file: 16 bytes of scales, 32 of high bits, 128 of quants
        uvec4 head = texelFetch(words, word + 11 * block);
        v.high = texelFetch(words, word + 11 * block + 1 + r % 2);
        v.q = texelFetch(words, word + 11 * block + 3 + r);
        v.scale = vec4(k_scale(head, r / 2 * 2), k_scale(head, r / 2 * 2 + 1));
        v.shift = r / 2 * 2;
        break;
    }
    case Q6_K: { // extras: 8 bits each
        v.q = texelFetch(words, word + 8 * block + r);
        v.high = texelFetch(words, word + w.word_plane + 4 * block + 2 * (r / 4) + r % 2);
        v.shift = 2 * (r % 4 / 2);
        int j = extra + 16 * block + 8 * (r / 4) + 2 * (r % 4 / 2) + r % 2;
        d = half_at(at + block);
        vec2 s = d * vec2(extra_at(j) << 24 >> 24, extra_at(j + 4) << 24 >> 24);
        v.scale = vec4(s.x, -32.0 * s.x, s.y, -32.0 * s.y);
        break;
    }
    case Q2_K: {
        v.q = texelFetch(words, word + 4 * block + 2 * (r / 4) + r % 2);
        v.shift = 4 * (r % 4 / 2);
        int j = extra + 16 * block + 8 * (r / 4) + 4 * (r % 4 / 2) + r % 2;
        int s = extra_at(j), t = extra_at(j + 2);
        d = half_at(at + 2 * block);
        m = -half_at(at + 2 * block + 1);
        v.scale = vec4(d * float(s & 15), m * float(s >> 4), d * float(t & 15), m * float(t >> 4));
        break;
    }
    case Q3_K: {
        v.q = texelFetch(words, word + 4 * block + 2 * (r / 4) + r % 2);
        v.high = texelFetch(words, word + w.word_plane + 2 * block + r % 2) >> 4 * (r / 4) + 2 * (r % 4 / 2);
        v.shift = 4 * (r % 4 / 2);
        int j = 8 * (r / 4) + 4 * (r % 4 / 2) + r % 2;
        d = half_at(at + block);
        vec2 s = d * vec2(q3_k_scale(extra + 12 * block, j), q3_k_scale(extra + 12 * block, j + 2));
        v.scale = vec4(s.x, -4.0 * s.x, s.y, -4.0 * s.y);
        break;
    }
    case IQ4_XS: { // extras: 32 bits each
        uint head = uint(extra_at(extra + 2 * block)), low = uint(extra_at(extra + 2 * block + 1));
        v.q = texelFetch(words, word + u);
        int scale = int((low >> 4 * r & 15u) | (head >> 16 + 2 * r & 3u) << 4) - 32;
        v.scale.xz = vec2(unpackHalf2x16(head).x * float(scale));
        break;
    }
    }
    return v;
}

// Entries of a table of 16 signed bytes, for four indexes that are the low halves of a word's bytes.
uint table_values(uvec4 table, uint word)
{
    uvec4 index = uvec4(word, word >> 8, word >> 16, word >> 24) & 15u;
    uvec4 four = mix(mix(table.xxxx, table.yyyy, equal(index >> 2, uvec4(1))),
                     mix(table.zzzz, table.wwww, equal(index >> 2, uvec4(3))), greaterThan(index, uvec4(7)));
    uvec4 value = four >> 8u * (index & 3u) & 255u;
    return value.x | value.y << 8 | value.z << 16 | value.w << 24;
}

// The four quants of a group of a quantised format as signed bytes; weight = scale * quant + offset, see unit.scale.
uint quants_of(unit v, int g)
{
    bool second = g >= 4;
    uint word = v.q[g % 4], halves = (second ? word >> 4 : word) & 0x0f0f0f0fu;
    switch (TYPE) {
    case Q8_0:
    case PLAIN_Q8_0:
        return second ? v.high[g % 4] : word;
    case IQ4_NL:
    case IQ4_XS: // -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113
        return table_values(uvec4(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u), halves);
    case MXFP4: // 0 1 2 3, 4 6 8 12, and the same negative: half units of E2M1
        return table_values(uvec4(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu), halves);
    case Q2_K:
        return word >> v.shift + (second ? 2 : 0) & 0x03030303u;
    case Q3_K:
        return (word >> v.shift + (second ? 2 : 0) & 0x03030303u) | (v.high[g % 4] >> (second ? 1 : 0) & 0x01010101u) << 2;
    case Q6_K:
        return halves | (v.high[g % 4] >> v.shift + (second ? 4 : 0) & 0x03030303u) << 4;
    case Q5_0:
    case Q5_1: // bits 4g to 4g + 3, one to each byte
        return halves | ((v.high.x >> 4 * g & 15u) * 0x00204081u & 0x01010101u) << 4;
    case Q5_K:
        return halves | (v.high[g % 4] >> v.shift + (second ? 1 : 0) & 0x01010101u) << 4;
    default: // Q4_0, Q4_1, Q4_K
        return halves;
    }
}

vec4 quants(unit v, int g)
{
    uint word = quants_of(v, g);
    return vec4(ivec4(word << 24, word << 16, word << 8, word) >> 24);
}

// Whether scale.y and .w are always 0.
bool is_centred()
{
    return is_float() || TYPE == Q8_0 || TYPE == PLAIN_Q8_0 || TYPE == IQ4_NL || TYPE == IQ4_XS || TYPE == MXFP4;
}

// Whether both runs of a unit always have the same scale.
bool is_even()
{
    return TYPE != Q2_K && TYPE != Q3_K && TYPE != Q4_K && TYPE != Q5_K && TYPE != Q6_K;
}

// The four weights of a group.
vec4 weights_of(unit v, int g)
{
    switch (TYPE) {
    case F32:
        return uintBitsToFloat(v.q);
    case F16:
        return FLOATS == 1 ? vec4(unpackHalf2x16(v.q.x).x, unpackHalf2x16(v.q.y).x, unpackHalf2x16(v.q.z).x, unpackHalf2x16(v.q.w).x)
                           : vec4(unpackHalf2x16(v.q[2 * (g % 2)]), unpackHalf2x16(v.q[2 * (g % 2) + 1]));
    case BF16: {
        uvec2 pairs = g % 2 == 0 ? v.q.xy : v.q.zw;
        return uintBitsToFloat(FLOATS == 1 ? v.q << 16 : uvec4(pairs.x << 16, pairs.x & 0xffff0000u, pairs.y << 16, pairs.y & 0xffff0000u));
    }
    }
    vec2 scale = g < 4 ? v.scale.xy : v.scale.zw;
    return is_centred() ? scale.x * quants(v, g) : fma(quants(v, g), scale.xxxx, scale.yyyy);
}
