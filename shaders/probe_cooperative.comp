// SPDX-License-Identifier: GPL-2.0-or-later
#version 460
// Whether the compiler knows cooperative matrices: shaders/meson.build tries.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

void main()
{
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a;
}
