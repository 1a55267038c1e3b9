/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pipelines: one for each shader and set of specialization constants that a part asks for, made when it does, kept while the
 * device is open, and on disk between runs.
 *
 * The file is ours around the driver's: drivers trust what they are given, so a header says for which device and driver the
 * bytes are, and a checksum that they are all there.
 */
#include "base/file.h"
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shaders/activate.spv.h"
#include "shaders/add.spv.h"
#include "shaders/attention.spv.h"
#include "shaders/attention_combine.spv.h"
#include "shaders/convert.spv.h"
#include "shaders/gather.spv.h"
#include "shaders/glu.spv.h"
#include "shaders/layer_norm.spv.h"
#include "shaders/matmul.spv.h"
#include "shaders/matmul_dot.spv.h"
#include "shaders/matmul_half.spv.h"
#include "shaders/measure_fma.spv.h"
#include "shaders/measure_read.spv.h"
#include "shaders/mul.spv.h"
#include "shaders/patches.spv.h"
#include "shaders/quantize.spv.h"
#include "shaders/resample.spv.h"
#include "shaders/rms_norm.spv.h"
#include "shaders/rope.spv.h"
#include "shaders/row_scale.spv.h"
#include "shaders/scale.spv.h"
#include "shaders/scatter.spv.h"
#include "shaders/softcap.spv.h"
#ifdef PAGEREEL_COOPERATIVE_MATRIX
#include "shaders/matmul_coop.spv.h"
#endif

static const struct {
    const uint32_t *code;
    size_t size;
    const char *texels, *name;
} shaders[SHADER_COUNT] = {
#define SHADER(name, texels) [SHADER_##name] = {vk_spv_##name, sizeof vk_spv_##name, texels, #name},
    VK_SHADERS(SHADER)
#undef SHADER
};

/* ---- the file --------------------------------------------------------------------------------------------------------- */

struct cache_header {
    char magic[8];
    uint32_t vendor, device, driver, shaders; /* checksum of all shaders: old pipelines only take space */
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t size, checksum; /* of what follows */
};
enum { CACHE_MAX = 256 << 20 };

static uint64_t checksum(uint64_t sum, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return sum;
}

static struct cache_header expected_header(const struct vk *vk, const void *data, size_t size)
{
    const VkPhysicalDeviceProperties *p = &vk->caps.properties;
    const uint64_t start = UINT64_C(0xcbf29ce484222325);
    uint64_t sum = start;
    for (int i = 0; i < (int)SHADER_COUNT; i++)
        sum = checksum(sum, shaders[i].code, shaders[i].size);
    struct cache_header header = {.magic = "PRVKPC1",
                                  .vendor = p->vendorID,
                                  .device = p->deviceID,
                                  .driver = p->driverVersion,
                                  .shaders = (uint32_t)(sum ^ sum >> 32),
                                  .size = size,
                                  .checksum = checksum(start, data, size)};
    memcpy(header.uuid, p->pipelineCacheUUID, VK_UUID_SIZE);
    return header;
}

/* The name has the device in it, so that two devices don't overwrite each other's file. */
static void cache_path(const struct vk *vk, struct base_buf *out)
{
    const VkPhysicalDeviceProperties *p = &vk->caps.properties;
    base_buf_printf(out, "%s/vulkan-%08x-%08x-", vk->cache_dir, p->vendorID, p->deviceID);
    for (int i = 0; i < (int)VK_UUID_SIZE; i++)
        base_buf_printf(out, "%02x", p->pipelineCacheUUID[i]);
    base_buf_puts(out, ".pipelines");
}

/* What the file holds for the driver, if it is whole and for this device; otherwise nothing. */
static void load_cache(const struct vk *vk, struct base_buf *file, const void **data, size_t *size)
{
    struct base_buf path = {0};
    struct cache_header header;
    *data = NULL;
    *size = 0;
    if (!vk->cache_dir)
        return;
    cache_path(vk, &path);
    if (base_file_read(path.data, CACHE_MAX, file) == PR_OK && file->len >= sizeof header) {
        const char *rest = file->data + sizeof header;
        size_t rest_size = file->len - sizeof header;
        struct cache_header expected = expected_header(vk, rest, rest_size);
        memcpy(&header, file->data, sizeof header);
        if (memcmp(&header, &expected, sizeof header) == 0) {
            *data = rest;
            *size = rest_size;
        }
    }
    base_buf_finish(&path);
}

static bool write_file(const char *path, const struct cache_header *header, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool written = fwrite(header, sizeof *header, 1, file) == 1 && fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && written;
}

void vk_pipelines_save(struct vk *vk)
{
    size_t size = 0;
    struct base_buf path = {0}, temporary = {0};
    if (!vk->cache_changed || !vk->cache_dir)
        return;
    vk->cache_changed = false;
    if (vkGetPipelineCacheData(vk->logical, vk->cache, &size, NULL) < 0 || size == 0)
        return;
    void *data = base_alloc(size);
    if (vkGetPipelineCacheData(vk->logical, vk->cache, &size, data) == VK_SUCCESS) {
        struct cache_header header = expected_header(vk, data, size);
        cache_path(vk, &path);
        base_buf_printf(&temporary, "%s.%ld", path.data, (long)getpid());
        mkdir(vk->cache_dir, 0700);
        if (!write_file(temporary.data, &header, data, size) || rename(temporary.data, path.data) != 0)
            remove(temporary.data);
    }
    base_buf_finish(&path);
    base_buf_finish(&temporary);
    base_free(data);
}

/* ---- layouts and pipelines -------------------------------------------------------------------------------------------- */

int vk_layouts_open(struct vk *vk)
{
    VkDescriptorSetLayoutBinding bindings[VK_BINDINGS];
    for (uint32_t i = 0; i < VK_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = i == 0 || i > VK_TEXELS
                                                                           ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                                                           : VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = VK_BINDINGS,
                                           .pBindings = bindings};
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = 128};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &vk->set_layout,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &push};
    int err;
    TRY(vk_result(vk, vkCreateDescriptorSetLayout(vk->logical, &set, NULL, &vk->set_layout), "opening it"));
    TRY(vk_result(vk, vkCreatePipelineLayout(vk->logical, &layout, NULL, &vk->layout), "opening it"));
    return PR_OK;
fail:
    return err;
}

static int create_idle_views(struct vk *vk)
{
    VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO, .range = VK_WHOLE_SIZE};
    int err;
    vk->idle = base_alloc(sizeof *vk->idle);
    TRY(vk_memory_create(vk, 16, false, vk->idle));
    info.buffer = vk->idle->buffer;
    info.format = VK_FORMAT_R32_SFLOAT;
    TRY(vk_result(vk, vkCreateBufferView(vk->logical, &info, NULL, &vk->idle_f), "opening it"));
    info.format = VK_FORMAT_R32_UINT;
    TRY(vk_result(vk, vkCreateBufferView(vk->logical, &info, NULL, &vk->idle_u), "opening it"));
    info.format = VK_FORMAT_R32_SINT;
    TRY(vk_result(vk, vkCreateBufferView(vk->logical, &info, NULL, &vk->idle_i), "opening it"));
    return PR_OK;
fail:
    return err;
}

VkBufferView vk_idle_view(const struct vk *vk, enum vk_shader shader, int binding)
{
    const char *texels = shaders[shader].texels;
    if (binding > (int)strlen(texels))
        return VK_NULL_HANDLE;
    char kind = texels[binding - 1];
    return kind == 'f' ? vk->idle_f : kind == 'u' ? vk->idle_u : vk->idle_i;
}

int vk_cache_open(struct vk *vk)
{
    struct base_buf file = {0};
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    load_cache(vk, &file, &info.pInitialData, &info.initialDataSize);
    int err = vk_result(vk, vkCreatePipelineCache(vk->logical, &info, NULL, &vk->cache), "opening it");
    base_buf_finish(&file);
    return err;
}

int vk_pipelines_open(struct vk *vk)
{
    int err;
    TRY(vk_layouts_open(vk));
    TRY(create_idle_views(vk));
    TRY(vk_cache_open(vk));
fail:
    return err;
}

void vk_pipelines_close(struct vk *vk)
{
    vk_pipelines_save(vk);
    for (int i = 0; i < vk->n_pipelines; i++)
        vkDestroyPipeline(vk->logical, vk->pipelines[i].pipeline, NULL);
    for (int i = 0; i < (int)SHADER_COUNT; i++)
        vkDestroyShaderModule(vk->logical, vk->modules[i], NULL);
    vkDestroyBufferView(vk->logical, vk->idle_f, NULL);
    vkDestroyBufferView(vk->logical, vk->idle_u, NULL);
    vkDestroyBufferView(vk->logical, vk->idle_i, NULL);
    if (vk->idle)
        vk_memory_destroy(vk, vk->idle);
    base_free(vk->idle);
    vkDestroyPipelineCache(vk->logical, vk->cache, NULL);
    vkDestroyPipelineLayout(vk->logical, vk->layout, NULL);
    vkDestroyDescriptorSetLayout(vk->logical, vk->set_layout, NULL);
    base_free(vk->pipelines);
}

static int get_module(struct vk *vk, enum vk_shader shader, VkShaderModule *out)
{
    if (!vk->modules[shader]) {
        VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                         .codeSize = shaders[shader].size,
                                         .pCode = shaders[shader].code};
        int err =
            vk_result(vk, vkCreateShaderModule(vk->logical, &info, NULL, &vk->modules[shader]), "loading a shader");
        if (err < 0)
            return err;
    }
    *out = vk->modules[shader];
    return PR_OK;
}

static int create_pipeline(struct vk *vk, struct vk_pipeline *p)
{
    VkSpecializationMapEntry entries[VK_MAX_SPECS];
    for (int i = 0; i < p->n_specs; i++)
        entries[i] = (VkSpecializationMapEntry){(uint32_t)i, (uint32_t)i * 4, 4};
    VkSpecializationInfo specialization = {.mapEntryCount = (uint32_t)p->n_specs,
                                           .pMapEntries = entries,
                                           .dataSize = (size_t)p->n_specs * 4,
                                           .pData = p->specs};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = (uint32_t)vk->subgroup};
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .pName = "main",
                                                  .pSpecializationInfo = &specialization},
                                        .layout = vk->layout};
    if (vk->caps.subgroup_control && p->specs[0] % vk->subgroup == 0) {
        info.stage.pNext = &size;
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
    }
    if (vk->capture_stats)
        info.flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    int err;
    TRY(get_module(vk, p->shader, &info.stage.module));
    TRY(vk_result(vk, vkCreateComputePipelines(vk->logical, vk->cache, 1, &info, NULL, &p->pipeline),
                  "compiling a shader"));
    return PR_OK;
fail:
    return err;
}

const char *vk_shader_name(enum vk_shader shader)
{
    return shaders[shader].name;
}

/* For tools/radv_stats. */
static void add_to_list(const struct vk_pipeline *p)
{
    const char *path = getenv("PAGEREEL_VK_LIST");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    fprintf(file, "%s", shaders[p->shader].name);
    for (int i = 0; i < p->n_specs; i++)
        fprintf(file, " %d", p->specs[i]);
    fprintf(file, "\n");
    fclose(file);
}

int vk_pipeline_get(struct vk *vk, enum vk_shader shader, const int32_t *specs, int n_specs, VkPipeline *out)
{
    for (int i = 0; i < vk->n_pipelines; i++) {
        const struct vk_pipeline *p = &vk->pipelines[i];
        if (p->shader == shader && p->n_specs == n_specs && memcmp(p->specs, specs, (size_t)n_specs * 4) == 0) {
            *out = p->pipeline;
            return PR_OK;
        }
    }
    struct vk_pipeline made = {.shader = shader, .n_specs = n_specs};
    memcpy(made.specs, specs, (size_t)n_specs * 4);
    int err = vk->record_only ? PR_OK : create_pipeline(vk, &made);
    if (err < 0)
        return err;
    vk->pipelines = base_realloc(vk->pipelines, (size_t)(vk->n_pipelines + 1) * sizeof made);
    vk->pipelines[vk->n_pipelines++] = made;
    vk->cache_changed = true;
    add_to_list(&made);
    *out = made.pipeline;
    return PR_OK;
}
