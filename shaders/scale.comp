// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "elementwise.glsl"

void main()
{
    int i = invocation();
    if (i < push.n)
        store(i, load_a(i) * push.value);
}
