// SPDX-License-Identifier: GPL-2.0-or-later
//
// What every kernel begins with. Specialization constant 0 is the workgroup size everywhere.

#extension GL_EXT_control_flow_attributes : require

#include "push.h"

layout(local_size_x_id = 0) in;

// Workgroups are numbered through x, then y: x alone is limited to 65535.
int workgroup()
{
    return int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x);
}

int invocation()
{
    return workgroup() * int(gl_WorkGroupSize.x) + int(gl_LocalInvocationID.x);
}
