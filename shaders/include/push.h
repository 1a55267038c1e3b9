/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Push constants of every kernel, compiled both as C and as GLSL: int and float are the same there, 4 bytes each, and no
 * struct is larger than the 128 bytes that every device has.
 *
 * Bindings: 0 is the storage buffer that a kernel writes (8 and 9: a second and a third one), 1 to 7 are texel buffers that it reads. A member X_base is where
 * tensor X begins in its view, counted in the view's elements: views begin where the device allows it, tensors where they lie.
 */
#ifndef PAGEREEL_PUSH_H
#define PAGEREEL_PUSH_H

/* How rows of a weight lie in the views of weights.glsl; before the push constants of matmul and gather. */
struct push_weight {
    int cols; /* elements of a row */
    int word_base,
        word_row;   /* view of 16-byte words (floats: of 4 elements, or of 1 in SCALAR): first row, row length */
    int word_plane; /* where a row's second plane of words begins */
    int extra_base, extra_row; /* view of small integers: scales, high bits */
    int half_base, half_row;   /* view of f16 scales */
};

struct push_matmul {
    int x_base, y_base, bias_base, addend_base;
    int n;          /* rows of x and y */
    int m;          /* rows of w in this dispatch */
    int y_row;      /* elements from one row of y to the next */
    int scale_base; /* of the rows of x */
};

/* Another weight of a product's dispatch: for its own result, from workgroup `tile` on, or the gate. */
struct push_also {
    int word_base, extra_base, half_base;
    int bias_base, y_base;
    int m; /* its rows, and elements from one row of its result to the next */
    int tile;
};

struct push_quantize {
    int x_base, y_base;
    int n; /* blocks of 32 */
};

struct push_row_scale {
    int x_base, y_base;
    int n, cols;
};

struct push_gather {
    int ids_base, y_base;
    int n;          /* rows of y */
    int first, end; /* rows of the table that this dispatch sees */
    int zero;       /* 1: rows for ids outside the table become zeros */
    int v;          /* rows of the whole table */
    int id0;        /* number of the first row of y */
};

struct push_scatter {
    int x_base, ids_base, y_base;
    int n, cols;
    int first, end; /* rows of the destination that this dispatch sees */
};

struct push_convert {
    int x_base, y_base;
    int n; /* elements */
};

struct push_elementwise {
    int a_base, b_base, y_base;
    int n;        /* vec4s, or elements in SCALAR */
    int b_period; /* b repeats after as many */
    float value;
};

struct push_norm {
    int x_base, weight_base, bias_base, y_base;
    int n, cols; /* cols in elements */
    float eps;
};

struct push_rope {
    int x_base, pos_base, table_base, y_base;
    int n, cols;
    int x2_base, y2_base, cols2;
    int x3_base, y3_base, cols3;
    int ids_base, cells; /* cells: rows of the second and third result in SCATTER */
    int d_head, n_rot;
    float attn;
};

struct push_attention {
    int q_base, k_base, v_base, pages_base, range_base, y_base;
    int n;           /* queries */
    int n_kv, group; /* kv heads, query heads of each */
    int d_head, d_value;
    int k_row, v_row; /* elements of a view from one cell to the next */
    int cells;        /* without pages */
    int paged, page;  /* whether there are pages; cells of one */
    int sinks;
    int splits;
    float scale, softcap; /* softcap 0: none */
};

struct push_combine {
    int part_base, y_base;
    int n; /* query rows times heads */
    int splits;
    int d_value;
};

struct push_patches {
    int x_base, y_base;
    int width, height, channels, side; /* side: of a patch */
    int n;                             /* elements of the result */
};

struct push_resample {
    int x_base, y_base;
    int in_w, in_h, out_w, out_h;
    int cols, n; /* n: elements of the result */
    int align_corners;
};

struct push_measure {
    int rounds; /* of an invocation: fetches, or turns of all its sums */
};

#endif
