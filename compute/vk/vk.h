/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Vulkan backend's own types. Only compute/vk/ includes this.
 *
 *     backend.c   the table of functions that compute/ calls
 *     instance.c  instance, physical devices and what they offer
 *     memory.c    buffers, uploads, imports of host memory
 *     slab.c      memory for weights
 *     pack.c      weights taken apart for the shaders (shaders/include/weights.glsl)
 *     pipeline.c  pipelines per shader and specialization, kept on disk
 *     record.c    a part as a command buffer
 *     measure.c   what the device can do at the most
 *     kernels.c, matmul.c, attention.c: from an operation to dispatches
 */
#pragma once

#include "compute/backend.h"

#include <vulkan/vulkan.h>

/* Every shader: SHADER(name, texel buffers), shaders/NAME.comp. The string has a letter for each binding from 1 on: what the
 * shader reads there, floats (f), unsigned (u) or signed integers (i). */
#ifdef PAGEREEL_COOPERATIVE_MATRIX /* the shader compiler knew it */
#define VK_COOPERATIVE_SHADERS(SHADER) SHADER(matmul_coop, "uufffff")
#else
#define VK_COOPERATIVE_SHADERS(SHADER)
#endif
#define VK_SHADERS(SHADER)                                                                                             \
    SHADER(activate, "ff")                                                                                             \
    SHADER(add, "ff")                                                                                                  \
    SHADER(attention, "fffiiuu")                                                                                       \
    SHADER(attention_combine, "f")                                                                                     \
    SHADER(convert, "f")                                                                                               \
    SHADER(gather, "uufi")                                                                                             \
    SHADER(glu, "ff")                                                                                                  \
    SHADER(layer_norm, "fff")                                                                                          \
    SHADER(matmul, "uuffff")                                                                                           \
    SHADER(matmul_dot, "uufuff")                                                                                       \
    SHADER(matmul_half, "uufuff")                                                                                      \
    SHADER(measure_fma, "")                                                                                            \
    SHADER(measure_read, "u")                                                                                          \
    SHADER(mul, "ff")                                                                                                  \
    SHADER(patches, "f")                                                                                               \
    SHADER(quantize, "f")                                                                                              \
    SHADER(resample, "f")                                                                                              \
    SHADER(rms_norm, "fff")                                                                                            \
    SHADER(rope, "fiuffi")                                                                                             \
    SHADER(row_scale, "f")                                                                                             \
    SHADER(scale, "ff")                                                                                                \
    SHADER(scatter, "fi")                                                                                              \
    SHADER(softcap, "ff")                                                                                              \
    VK_COOPERATIVE_SHADERS(SHADER)

enum vk_shader {
#define SHADER(name, texels) SHADER_##name,
    VK_SHADERS(SHADER)
#undef SHADER
        SHADER_COUNT
};

/* Bindings of every kernel: 0 is the storage buffer that it writes, 1 to 7 are texel buffers that it reads, 8 and 9 are storage
 * buffers again, of kernels with two and three results. */
enum { VK_TEXELS = 7, VK_SECOND_OUT = VK_TEXELS + 1, VK_THIRD_OUT, VK_BINDINGS, VK_MAX_SPECS = 16 };

/* What a physical device offers, as far as the backend cares. */
struct vk_caps {
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    VkPhysicalDeviceSubgroupProperties subgroup;
    char driver[128];                    /* its name and version, as it calls itself; "" when it does not */
    uint32_t min_subgroup, max_subgroup; /* sizes that a pipeline can be given */
    bool subgroup_control;               /* a pipeline's subgroup size can be fixed */
    bool storage16, storage8, int8;
    bool float16;            /* 16-bit arithmetic, and faster than 32-bit */
    bool float16_there;      /* there, fast or not */
    bool dot_product;        /* integer dot products, and faster than other arithmetic */
    bool dot_there;          /* there, fast or not */
    bool cooperative_matrix; /* matmul_coop.comp was built and can run */
    bool cooperative_there;  /* the extension is there */
    bool cooperative_16;     /* with the shape and the types of matmul_coop.comp */
    bool host_import;        /* VK_EXT_external_memory_host */
    bool executable_properties;
    bool api13;
    size_t import_align;
    size_t most_memory; /* of one allocation */
    int queue_family;
    bool unified;    /* all device memory is ordinary, cached host memory: integrated GPUs and software */
    char lacks[120]; /* what the backend can't do without and the device hasn't got; "" when it can be used */
};

struct vk_pipeline {
    enum vk_shader shader;
    int n_specs;
    int32_t specs[VK_MAX_SPECS];
    VkPipeline pipeline;
};

struct vk_memory;

struct vk {
    struct device *device;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    struct vk_caps caps;
    VkDevice logical;
    VkQueue queue;
    VkCommandPool pool;
    VkFence fence;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkShaderModule modules[SHADER_COUNT];
    VkPipelineCache cache;
    bool cache_changed;
    char *cache_dir; /* of options, which may go; NULL: none */
    struct vk_pipeline *pipelines;
    int n_pipelines;

    size_t storage_range;  /* the most bytes that a storage binding reaches */
    size_t texel_elements; /* the most elements of a texel view */
    int subgroup;          /* invocations of a subgroup, in every pipeline */
    int units;             /* about how many subgroups keep the device busy */

    struct vk_slab **slabs; /* of slab.c */
    int n_slabs;
    struct vk_slab *open_slab; /* that the next weight goes to; NULL: none */

    struct vk_memory *idle; /* what views of unused bindings show */
    VkBufferView idle_f, idle_u, idle_i;
    struct buffer staging; /* mapped; between the host and memory that it can't touch */
    bool lost;
    bool record_only;   /* nothing is compiled or submitted: tools look at what would be */
    bool capture_stats; /* the driver is to say what became of pipelines; set before vk_open_logical() */
};

static inline struct vk *vk_of(struct device *device)
{
    return device->priv;
}

/* ---- instance.c */

/* Makes an instance, with the validation layer if PAGEREEL_VK_VALIDATE is set. PR_ERR_DEVICE: no Vulkan here. */
int vk_instance_create(VkInstance *instance, VkDebugUtilsMessengerEXT *messenger);
void vk_instance_destroy(VkInstance instance, VkDebugUtilsMessengerEXT messenger);
/* The physical devices, at most `max`; returns how many were stored. */
int vk_physical_devices(VkInstance instance, VkPhysicalDevice *devices, int max);
void vk_get_caps(VkInstance instance, VkPhysicalDevice physical, struct vk_caps *caps);
void vk_describe(const struct vk_caps *caps, int index, struct device_info *info);
/* Makes the logical device with what vk_get_caps() found; fills vk->logical, queue and limits. */
int vk_open_logical(struct vk *vk);

/* Translates a failure; `doing` says what was being done. VK_SUCCESS gives PR_OK. */
int vk_result(struct vk *vk, VkResult result, const char *doing);
/* Whether `word` is among the comma-separated words of PAGEREEL_VK_ASSUME, by which tests take away from a device what it
 * has, or have it use what it isn't fast at ("fast-dot"); "name=123" gives *value. */
bool vk_assumed(const char *word, size_t *value);

/* ---- memory.c */
struct vk_memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *mapped; /* NULL: the host can't touch it */
};
int vk_memory_create(struct vk *vk, size_t size, bool for_host, struct vk_memory *out);
/* Makes the host's bytes [from, from + size) readable by the device where they are; *offset is where they begin in the buffer.
 * They must stay until vk_memory_destroy(). */
int vk_memory_import(struct vk *vk, const void *from, size_t size, struct vk_memory *out, size_t *offset);
void vk_memory_destroy(struct vk *vk, struct vk_memory *memory);

int vk_buffer_create(struct device *device, size_t size, struct buffer *buffer);
void vk_buffer_destroy(struct buffer *buffer);
int vk_buffer_write(struct buffer *buffer, size_t offset, const void *from, size_t size);
int vk_buffer_read(struct buffer *buffer, size_t offset, void *to, size_t size);
static inline VkBuffer vk_handle(const struct buffer *buffer)
{
    return ((const struct vk_memory *)buffer->handle)->buffer;
}
int vk_memory_write(struct vk *vk, const struct vk_memory *to, size_t offset, const void *from, size_t size);
int vk_memory_read(struct vk *vk, const struct vk_memory *from, size_t offset, void *to, size_t size);
/* Submits a command buffer and waits for it. */
int vk_submit(struct vk *vk, VkCommandBuffer commands, const char *doing);

/* ---- slab.c */

/* A buffer that weights share, or that shows a part of a mapped file. */
struct vk_slab {
    struct vk_memory memory;
    size_t size, used;
    const char *window; /* the first byte of the host's that it shows; NULL: it is memory of the device */
    size_t lead;        /* where in the buffer that byte is */
    int users;          /* weights */
};
/* Room for `size` bytes, from *offset of the slab's buffer on, until vk_slab_release(). */
int vk_slab_take(struct vk *vk, size_t size, struct vk_slab **out, size_t *offset);
/* The same for bytes [at, at + size) of wrapped memory, which the device reads where they are. */
int vk_slab_import(struct vk *vk, const struct buffer *mapped, size_t at, size_t size, struct vk_slab **out,
                   size_t *offset);
void vk_slab_release(struct vk *vk, struct vk_slab *slab);

/* ---- pack.c */

/* How the shaders read the rows of a weight: which views they need, and where in a row each part begins (bytes). */
struct vk_packing {
    size_t row_bytes;
    size_t plane;   /* second plane of words */
    size_t extra;   /* small integers */
    size_t half;    /* f16 scales */
    VkFormat words; /* VK_FORMAT_UNDEFINED: no such view */
    VkFormat extras;
    bool halves;
    int unit;   /* elements that are read together */
    int floats; /* FLOATS of weights.glsl */
};
/* Of a weight that vk_pack() took apart, or of rows as files and caches have them. False: shaders can't read those. */
bool vk_packing(enum type type, int64_t cols, bool packed, struct vk_packing *out);
/* What weight->packed points to. */
struct vk_packed {
    struct vk_slab *slab;
    size_t offset; /* of the first row */
    bool plain;    /* the rows lie as in the file */
};
/* Where a tensor's rows begin on the device. */
VkBuffer vk_rows_of(const struct tensor *t, size_t *offset);
bool vk_reads_in_place(struct device *device, const struct tensor *weight);
size_t vk_packed_size(struct device *device, const struct tensor *weight);
int vk_pack(struct device *device, struct tensor *weight);
void vk_unpack(struct device *device, struct tensor *weight);

/* ---- pipeline.c */
const char *vk_shader_name(enum vk_shader shader);
int vk_layouts_open(struct vk *vk); /* all that pipelines need */
int vk_cache_open(struct vk *vk);   /* with what the disk has */
int vk_pipelines_open(struct vk *vk);
void vk_pipelines_close(struct vk *vk);
/* The view for binding `binding` of a dispatch that doesn't use it: Vulkan wants one all the same. NULL: the shader has no such
 * binding. */
VkBufferView vk_idle_view(const struct vk *vk, enum vk_shader shader, int binding);
/* The pipeline for a shader and its constants. Where PAGEREEL_VK_LIST names a file, a line is added to it for each new one: the
 * shader's name and the constants. */
int vk_pipeline_get(struct vk *vk, enum vk_shader shader, const int32_t *specs, int n_specs, VkPipeline *out);
/* Writes the pipeline cache to disk if there is anything new. Failures are no error: the cache is only time saved. */
void vk_pipelines_save(struct vk *vk);

/* ---- record.c */

struct vk_recorder; /* a part being recorded */

/* One dispatch in the making. Errors are kept in the recorder. */
struct vk_dispatch {
    struct vk_recorder *recorder;
    enum vk_shader shader;
    int32_t specs[VK_MAX_SPECS];
    int n_specs;
    VkDescriptorSet set;
    VkDescriptorBufferInfo out; /* what binding 0 is */
    bool bound[VK_BINDINGS];
};

struct vk *vk_recorder_vk(struct vk_recorder *recorder);
/* Begins a dispatch of `lanes` invocations a workgroup. */
struct vk_dispatch vk_begin(struct vk_recorder *recorder, enum vk_shader shader, int lanes);
void vk_spec(struct vk_dispatch *d, int32_t value); /* the next specialization constant, from 1 on */
/* Binds bytes [offset, offset + size) of a buffer, nothing else of which a kernel may touch: barriers are set by that. Returns
 * where they begin in the binding, counted in elements of `element` bytes, or of the format. `binding`: 0, VK_SECOND_OUT or VK_THIRD_OUT. */
int vk_bind_storage(struct vk_dispatch *d, int binding, VkBuffer buffer, size_t offset, size_t size, size_t element);
int vk_bind_texels(struct vk_dispatch *d, int binding, VkBuffer buffer, size_t offset, size_t size, VkFormat format);
void vk_end(struct vk_dispatch *d, const void *push, size_t push_size, int64_t x, int64_t y, int64_t z);
/* The same for n invocations or workgroups in a row, numbered as invocation() and workgroup() of common.glsl do. */
void vk_end_linear(struct vk_dispatch *d, const void *push, size_t push_size, int64_t groups);
/* A barrier between dispatches of one operation. */
void vk_barrier(struct vk_recorder *recorder);
/* Device memory with `data` in it, which lasts as long as the recorded part. */
int vk_constants(struct vk_recorder *recorder, const void *data, size_t size, VkBuffer *buffer);
/* Keeps a failure (the first one wins). */
void vk_recorder_fail(struct vk_recorder *recorder, int err);

/* Records with `fill` and runs that once to warm up and then a few times; *seconds is the least that a run took. */
int vk_time(struct vk *vk, void (*fill)(struct vk_recorder *recorder, const void *arg), const void *arg,
            double *seconds);

int vk_prepare(struct part *part);
int vk_run(struct part *part, const struct base_cancel *cancel);
void vk_discard(struct part *part);

/* ---- measure.c */
int vk_measure(struct device *device, struct device_speed *out);

/* ---- kernels.c and others: one function an operation */
bool vk_supports(struct device *device, const struct op *op);
size_t vk_scratch(struct device *device, const struct op *op);
bool vk_fuses(struct device *device, const struct op *op);
/* Records the first of n operations that have no barriers between them, and what of the others can go into its dispatch. Returns how
 * many those are. */
int vk_record_ops(struct vk_recorder *recorder, struct op *const *ops, int n, struct buffer *arena);

/* As vk_record_ops(), of products. */
int vk_record_matmul(struct vk_recorder *recorder, struct op *const *ops, int n, struct buffer *arena);
bool vk_matmul_fuses(const struct vk *vk, const struct op *op);
size_t vk_matmul_scratch(const struct vk *vk, const struct op *op);
void vk_record_gather(struct vk_recorder *recorder, const struct op *op);
void vk_record_unpack(struct vk_recorder *recorder, const struct tensor *x, const struct tensor *dst); /* to f32 */
bool vk_reads_rows(struct vk *vk, const struct tensor *w); /* whether the three above can read these rows */
void vk_record_attention(struct vk_recorder *recorder, const struct op *op, struct buffer *arena);
bool vk_attention_supports(struct vk *vk, const struct op *op);
size_t vk_attention_scratch(struct vk *vk, const struct op *op);

/* How many rows of `row_bytes` a storage binding, or a texel view, reaches; at least 1. */
int64_t vk_rows_in_storage(const struct vk *vk, size_t row_bytes);
int64_t vk_rows_in_texels(const struct vk *vk, size_t row_bytes, VkFormat format);
/* Binds rows first..first+n-1 of a plain tensor: as the storage that is written, as texels that are read. */
int vk_bind_rows_out(struct vk_dispatch *d, const struct tensor *t, int64_t first, int64_t n, size_t element);
int vk_bind_rows(struct vk_dispatch *d, int binding, const struct tensor *t, int64_t first, int64_t n, VkFormat format);
size_t vk_format_size(VkFormat format);
/* The view of f32 or f16 numbers, four or one at a time. */
VkFormat vk_float_format(enum type type, bool fours);
