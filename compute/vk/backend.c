/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The devices "vulkan:N": every Vulkan device of this machine, in the loader's order, hardware first.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <string.h>

enum { MAX_PHYSICAL = 16 };

/* The physical devices that can be listed, hardware before software. */
static int find_devices(VkInstance instance, VkPhysicalDevice *out)
{
    VkPhysicalDevice all[MAX_PHYSICAL];
    int n = vk_physical_devices(instance, all, MAX_PHYSICAL), found = 0;
    for (int software = 0; software < 2; software++) {
        for (int i = 0; i < n; i++) {
            VkPhysicalDeviceProperties properties;
            vkGetPhysicalDeviceProperties(all[i], &properties);
            if ((properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU) == software)
                out[found++] = all[i];
        }
    }
    return found;
}

static void list(struct device_info *infos, int max, int *n)
{
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice devices[MAX_PHYSICAL];
    if (vk_instance_create(&instance, &messenger) < 0)
        return;
    int found = find_devices(instance, devices);
    for (int i = 0; i < found; i++) {
        struct vk_caps caps;
        vk_get_caps(instance, devices[i], &caps);
        if (*n < max)
            vk_describe(&caps, i, &infos[*n]);
        ++*n;
    }
    vk_instance_destroy(instance, messenger);
}

static void vk_close(struct device *device)
{
    struct vk *vk = vk_of(device);
    if (!vk)
        return;
    if (vk->logical) {
        vkDeviceWaitIdle(vk->logical);
        vk_pipelines_close(vk);
        if (vk->staging.handle)
            vk_buffer_destroy(&vk->staging);
        vkDestroyFence(vk->logical, vk->fence, NULL);
        vkDestroyCommandPool(vk->logical, vk->pool, NULL);
        vkDestroyDevice(vk->logical, NULL);
    }
    if (vk->instance)
        vk_instance_destroy(vk->instance, vk->messenger);
    base_free(vk->slabs);
    base_free(vk->cache_dir);
    base_free(vk);
    device->priv = NULL;
}

static int create_commands(struct vk *vk)
{
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = (uint32_t)vk->caps.queue_family};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    int err;
    TRY(vk_result(vk, vkCreateCommandPool(vk->logical, &pool, NULL, &vk->pool), "opening it"));
    vk->record_only = vk_assumed("record-only", NULL);
    if (!vk->record_only)
        TRY(vk_result(vk, vkCreateFence(vk->logical, &fence, NULL, &vk->fence), "opening it"));
    return PR_OK;
fail:
    return err;
}

static int vk_open(struct device *device, int index)
{
    int err;
    VkPhysicalDevice devices[MAX_PHYSICAL];
    struct vk *vk = base_alloc(sizeof *vk);
    device->priv = vk;
    vk->device = device;
    vk->cache_dir = base_strdup(device->options.cache_dir);
    TRY(vk_instance_create(&vk->instance, &vk->messenger));
    if (index < 0 || index >= find_devices(vk->instance, devices)) {
        err = base_fail(PR_ERR_DEVICE, "vulkan:%d: there is no such device", index);
        goto fail;
    }
    vk->physical = devices[index];
    vk_get_caps(vk->instance, vk->physical, &vk->caps);
    vk_describe(&vk->caps, index, &device->info);
    if (vk->caps.lacks[0]) {
        err = base_fail(PR_ERR_DEVICE, "%s: %s has no %s; update its driver or use --device cpu", device->info.id,
                        device->info.name, vk->caps.lacks);
        goto fail;
    }
    TRY(vk_open_logical(vk));
    TRY(create_commands(vk));
    TRY(vk_pipelines_open(vk));
    return PR_OK;
fail:
    vk_close(device);
    return err;
}

const struct backend compute_backend_vk = {
    .name = "vulkan",
    .list = list,
    .open = vk_open,
    .close = vk_close,
    .buffer_create = vk_buffer_create,
    .buffer_destroy = vk_buffer_destroy,
    .buffer_write = vk_buffer_write,
    .buffer_read = vk_buffer_read,
    .reads_in_place = vk_reads_in_place,
    .packed_size = vk_packed_size,
    .pack = vk_pack,
    .unpack = vk_unpack,
    .supports = vk_supports,
    .fuses = vk_fuses,
    .scratch = vk_scratch,
    .prepare = vk_prepare,
    .run = vk_run,
    .discard = vk_discard,
    .measure = vk_measure,
};
