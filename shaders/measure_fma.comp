// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
// Multiplies and adds as fast as it goes, for compute_device_measure(): 16 sums that don't wait for each other.
#include "common.glsl"

layout(binding = 0) writeonly buffer Y { float y[]; };
layout(push_constant) uniform P { push_measure push; };

void main()
{
    float x = float(invocation()) * 1e-9, sums[16];
    [[unroll]] for (int j = 0; j < 16; j++)
        sums[j] = x + float(j);
    for (int i = 0; i < push.rounds; i += 4)
        [[unroll]] for (int k = 0; k < 4; k++)
            [[unroll]] for (int j = 0; j < 16; j++)
                sums[j] = fma(sums[j], 0.999, x);
    float sum = 0.0;
    [[unroll]] for (int j = 0; j < 16; j++)
        sum += sums[j];
    if (sum == -1.0) // never
        y[0] = sum;
}
