// SPDX-License-Identifier: GPL-2.0-or-later
//
// Functions that Vulkan leaves too imprecise, or that GLSL hasn't got.

// Built-in tanh may overflow for large arguments and cancels for small ones.
vec4 tanh4(vec4 x)
{
    vec4 a = abs(x);
    vec4 e = exp(-2.0 * a);
    vec4 far = (1.0 - e) / (1.0 + e);
    vec4 s = x * x; // below 1/4 the Taylor series ends in time
    vec4 near = a * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869488))));
    return sign(x) * mix(far, near, lessThan(a, vec4(0.25)));
}

// Error function, |error| < 1.5e-7 (Abramowitz and Stegun 7.1.26); near 0 its series, for the relative error.
vec4 erf4(vec4 x)
{
    vec4 a = abs(x);
    vec4 t = 1.0 / (1.0 + 0.3275911 * a);
    vec4 p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    vec4 far = 1.0 - p * exp(-a * a);
    vec4 s = x * x;
    vec4 near = 1.1283791671 * a * (1.0 + s * (-0.33333333 + s * (0.1 + s * (-0.023809524 + s * 0.00462963))));
    return sign(x) * mix(far, near, lessThan(a, vec4(0.35)));
}

vec4 sigmoid4(vec4 x)
{
    vec4 e = exp(-abs(x)); // never overflows
    return mix(vec4(1.0), e, lessThan(x, vec4(0.0))) / (1.0 + e);
}

// enum activation of compute/op.h.
vec4 activation(int kind, vec4 x)
{
    switch (kind) {
    case 0:
        return x * sigmoid4(x);
    case 1:
        // 1/2 (1 + tanh z) is sigmoid(2 z), without cancellation for z far below 0
        return x * sigmoid4(1.5957691216 * (x + 0.044715 * x * x * x));
    case 2:
        return 0.5 * x * (1.0 + erf4(x * 0.70710678));
    case 3:
        return x * sigmoid4(1.702 * x);
    default:
        return sigmoid4(x);
    }
}
