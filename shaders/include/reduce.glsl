// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sums over a workgroup: within subgroups first, then through shared memory when there are several.

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

shared float subgroup_sums[64];

float sum_of_workgroup(float value)
{
    float sum = subgroupAdd(value);
    if (gl_NumSubgroups == 1)
        return sum;
    barrier(); // an earlier sum may still be read
    if (subgroupElect())
        subgroup_sums[gl_SubgroupID] = sum;
    barrier();
    sum = 0.0;
    for (int i = 0; i < gl_NumSubgroups; i++)
        sum += subgroup_sums[i];
    return sum;
}
