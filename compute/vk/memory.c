/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Device memory, and the ways of data to and from it.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <string.h>

static const size_t STAGING_SIZE = (size_t)8 << 20;

/* ---- allocation ------------------------------------------------------------------------------------------------------ */

/* The first memory type among `allowed` that has all of `wanted`; -1: none. */
static int find_type(const struct vk *vk, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    const VkPhysicalDeviceMemoryProperties *memory = &vk->caps.memory;
    for (uint32_t t = 0; t < memory->memoryTypeCount; t++)
        if (allowed >> t & 1 && (memory->memoryTypes[t].propertyFlags & wanted) == wanted)
            return (int)t;
    return -1;
}

static int choose_type(const struct vk *vk, uint32_t allowed, bool for_host)
{
    const VkMemoryPropertyFlags visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = visible | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    VkMemoryPropertyFlags preferences[2];
    if (for_host) {
        preferences[0] = cached;
        preferences[1] = visible;
    } else {
        preferences[0] = vk->caps.unified ? cached | local : local;
        preferences[1] = local;
    }
    for (int i = 0; i < 2; i++) {
        int type = find_type(vk, allowed, preferences[i]);
        if (type >= 0)
            return type;
    }
    return find_type(vk, allowed, 0);
}

int vk_memory_create(struct vk *vk, size_t size, bool for_host, struct vk_memory *out)
{
    int err;
    *out = (struct vk_memory){0};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = base_align(size, 16), /* texels are 16 bytes at the most */
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    if (size > vk->caps.most_memory - 65536) { /* room for what the driver adds */
        err = base_fail(PR_ERR_NOMEM,
                        "%s: %zu bytes are more than the device gives at once (%zu); use a smaller context or model",
                        vk->device->info.id, size, vk->caps.most_memory);
        goto fail;
    }
    TRY(vk_result(vk, vkCreateBuffer(vk->logical, &info, NULL, &out->buffer), "making a buffer"));
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(vk->logical, out->buffer, &needs);
    int type = choose_type(vk, needs.memoryTypeBits, for_host);
    VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                     .allocationSize = needs.size,
                                     .memoryTypeIndex = (uint32_t)type};
    VkResult result = vkAllocateMemory(vk->logical, &allocate, NULL, &out->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY) {
        err =
            base_fail(PR_ERR_NOMEM,
                      "%s: the device hasn't got %zu bytes of memory more (%llu are in use); use a smaller context or "
                      "model, or --gpu-memory",
                      vk->device->info.id, size, (unsigned long long)vk->device->allocated);
        goto fail;
    }
    TRY(vk_result(vk, result, "allocating memory"));
    TRY(vk_result(vk, vkBindBufferMemory(vk->logical, out->buffer, out->memory, 0), "allocating memory"));
    if (for_host || vk->caps.unified)
        TRY(vk_result(vk, vkMapMemory(vk->logical, out->memory, 0, VK_WHOLE_SIZE, 0, &out->mapped), "mapping memory"));
    return PR_OK;
fail:
    vk_memory_destroy(vk, out);
    return err;
}

/* Whole pages are imported, which the bytes lie in. */
int vk_memory_import(struct vk *vk, const void *from, size_t size, struct vk_memory *out, size_t *offset)
{
    const VkExternalMemoryHandleTypeFlagBits kind = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    PFN_vkGetMemoryHostPointerPropertiesEXT get = (PFN_vkGetMemoryHostPointerPropertiesEXT)vkGetDeviceProcAddr(
        vk->logical, "vkGetMemoryHostPointerPropertiesEXT");
    size_t align = vk->caps.import_align;
    uintptr_t begin = (uintptr_t)from & ~(uintptr_t)(align - 1);
    *offset = (uintptr_t)from - begin;
    size_t whole = base_align(*offset + size, align);
    VkMemoryHostPointerPropertiesEXT properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                 .handleTypes = kind};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .pNext = &external,
                               .size = whole,
                               .usage = VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT};
    VkImportMemoryHostPointerInfoEXT import = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                               .handleType = kind,
                                               .pHostPointer = (void *)begin};
    VkMemoryAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = &import, .allocationSize = whole};
    VkMemoryRequirements needs;
    int err;
    *out = (struct vk_memory){0};
    TRY(vk_result(vk, get(vk->logical, kind, (void *)begin, &properties), "importing memory"));
    TRY(vk_result(vk, vkCreateBuffer(vk->logical, &info, NULL, &out->buffer), "importing memory"));
    vkGetBufferMemoryRequirements(vk->logical, out->buffer, &needs);
    int type = find_type(vk, needs.memoryTypeBits & properties.memoryTypeBits, 0);
    if (type < 0 || needs.size > whole) {
        err = base_fail(PR_ERR_UNSUPPORTED, "%s: host memory can't be imported", vk->device->info.id);
        goto fail;
    }
    allocate.memoryTypeIndex = (uint32_t)type;
    TRY(vk_result(vk, vkAllocateMemory(vk->logical, &allocate, NULL, &out->memory), "importing memory"));
    TRY(vk_result(vk, vkBindBufferMemory(vk->logical, out->buffer, out->memory, 0), "importing memory"));
    return PR_OK;
fail:
    vk_memory_destroy(vk, out);
    return err;
}

void vk_memory_destroy(struct vk *vk, struct vk_memory *memory)
{
    vkDestroyBuffer(vk->logical, memory->buffer, NULL);
    vkFreeMemory(vk->logical, memory->memory, NULL);
    *memory = (struct vk_memory){0};
}

/* ---- transfers ------------------------------------------------------------------------------------------------------------ */

int vk_submit(struct vk *vk, VkCommandBuffer commands, const char *doing)
{
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    int err;
    if (vk->record_only)
        return PR_OK;
    if (vk->lost)
        return vk_result(vk, VK_ERROR_DEVICE_LOST, doing);
    TRY(vk_result(vk, vkQueueSubmit(vk->queue, 1, &submit, vk->fence), doing));
    TRY(vk_result(vk, vkWaitForFences(vk->logical, 1, &vk->fence, VK_TRUE, UINT64_MAX), doing));
    TRY(vk_result(vk, vkResetFences(vk->logical, 1, &vk->fence), doing));
    return PR_OK;
fail:
    return err;
}

/* A transfer that is recorded by `fill` and waited for. */
struct transfer {
    VkBuffer from, to; /* from VK_NULL_HANDLE: zeros */
    size_t from_offset, to_offset, size;
};

static int run_transfer(struct vk *vk, const struct transfer *t)
{
    VkCommandBuffer commands = VK_NULL_HANDLE;
    VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = vk->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_SHADER_READ_BIT |
                                                VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    int err;
    TRY(vk_result(vk, vkAllocateCommandBuffers(vk->logical, &allocate, &commands), "copying"));
    TRY(vk_result(vk, vkBeginCommandBuffer(commands, &begin), "copying"));
    if (t->from) {
        VkBufferCopy copy = {.srcOffset = t->from_offset, .dstOffset = t->to_offset, .size = t->size};
        vkCmdCopyBuffer(commands, t->from, t->to, 1, &copy);
    } else {
        vkCmdFillBuffer(commands, t->to, t->to_offset, t->size, 0);
    }
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                         VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                             VK_PIPELINE_STAGE_TRANSFER_BIT,
                         0, 1, &barrier, 0, NULL, 0, NULL);
    TRY(vk_result(vk, vkEndCommandBuffer(commands), "copying"));
    TRY(vk_submit(vk, commands, "copying"));
    err = PR_OK;
fail:
    if (commands)
        vkFreeCommandBuffers(vk->logical, vk->pool, 1, &commands);
    return err;
}

/* The staging buffer, made when it is first needed. */
static int get_staging(struct vk *vk, struct vk_memory **out)
{
    if (!vk->staging.handle) {
        struct vk_memory *memory = base_alloc(sizeof *memory);
        int err = vk_memory_create(vk, STAGING_SIZE, true, memory);
        if (err < 0) {
            base_free(memory);
            return err;
        }
        vk->staging.device = vk->device;
        vk->staging.handle = memory;
    }
    *out = vk->staging.handle;
    return PR_OK;
}

int vk_memory_write(struct vk *vk, const struct vk_memory *to, size_t offset, const void *from, size_t size)
{
    struct vk_memory *staging;
    int err;
    if (to->mapped) {
        memcpy((char *)to->mapped + offset, from, size);
        return PR_OK;
    }
    TRY(get_staging(vk, &staging));
    for (size_t done = 0; done < size;) {
        size_t n = size - done < STAGING_SIZE ? size - done : STAGING_SIZE;
        memcpy(staging->mapped, (const char *)from + done, n);
        TRY(run_transfer(
            vk, &(struct transfer){.from = staging->buffer, .to = to->buffer, .to_offset = offset + done, .size = n}));
        done += n;
    }
    return PR_OK;
fail:
    return err;
}

int vk_memory_read(struct vk *vk, const struct vk_memory *from, size_t offset, void *to, size_t size)
{
    struct vk_memory *staging;
    int err;
    if (from->mapped) {
        memcpy(to, (const char *)from->mapped + offset, size);
        return PR_OK;
    }
    TRY(get_staging(vk, &staging));
    for (size_t done = 0; done < size;) {
        size_t n = size - done < STAGING_SIZE ? size - done : STAGING_SIZE;
        TRY(run_transfer(
            vk,
            &(struct transfer){.from = from->buffer, .to = staging->buffer, .from_offset = offset + done, .size = n}));
        memcpy((char *)to + done, staging->mapped, n);
        done += n;
    }
    return PR_OK;
fail:
    return err;
}

/* ---- buffers ---------------------------------------------------------------------------------------------------------------- */

int vk_buffer_create(struct device *device, size_t size, struct buffer *buffer)
{
    struct vk *vk = vk_of(device);
    struct vk_memory *memory = base_alloc(sizeof *memory);
    int err;
    TRY(vk_memory_create(vk, size, false, memory));
    if (memory->mapped)
        memset(memory->mapped, 0, base_align(size, 16));
    else
        TRY(run_transfer(vk, &(struct transfer){.to = memory->buffer, .size = VK_WHOLE_SIZE}));
    buffer->handle = memory;
    buffer->host = memory->mapped;
    return PR_OK;
fail:
    vk_memory_destroy(vk, memory);
    base_free(memory);
    return err;
}

void vk_buffer_destroy(struct buffer *buffer)
{
    vk_memory_destroy(vk_of(buffer->device), buffer->handle);
    base_free(buffer->handle);
    buffer->handle = NULL;
}

int vk_buffer_write(struct buffer *buffer, size_t offset, const void *from, size_t size)
{
    return vk_memory_write(vk_of(buffer->device), buffer->handle, offset, from, size);
}

int vk_buffer_read(struct buffer *buffer, size_t offset, void *to, size_t size)
{
    return vk_memory_read(vk_of(buffer->device), buffer->handle, offset, to, size);
}
