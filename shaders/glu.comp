// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "elementwise.glsl"
#include "functions.glsl"

layout(constant_id = 2) const int ACTIVATION = 0;

void main()
{
    int i = invocation();
    if (i < push.n)
        store(i, activation(ACTIVATION, load_a(i)) * load_b(i));
}
