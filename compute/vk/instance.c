/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Instance and devices: what is there, what it offers, and whether that is used.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VK_KHR_cooperative_matrix /* headers before 1.3.255; the numbers are the extension's */
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME                          "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType)1000506000)
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR               ((VkStructureType)1000506001)
enum { VK_SCOPE_SUBGROUP_KHR = 3, VK_COMPONENT_TYPE_FLOAT16_KHR = 0, VK_COMPONENT_TYPE_FLOAT32_KHR = 1 };
typedef struct VkPhysicalDeviceCooperativeMatrixFeaturesKHR {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
typedef struct VkCooperativeMatrixPropertiesKHR {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int32_t AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int32_t scope;
} VkCooperativeMatrixPropertiesKHR;
typedef VkResult(VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(VkPhysicalDevice, uint32_t *,
                                                                                   VkCooperativeMatrixPropertiesKHR *);
#endif

bool vk_assumed(const char *word, size_t *value)
{
    const char *at = getenv("PAGEREEL_VK_ASSUME");
    size_t len = strlen(word);
    while (at && *at) {
        size_t n = strcspn(at, ",");
        if (n >= len && strncmp(at, word, len) == 0 && (n == len || at[len] == '=')) {
            if (value && at[len] == '=')
                *value = strtoull(at + len + 1, NULL, 0);
            return true;
        }
        at += n + (at[n] == ',');
    }
    return false;
}

/* ---- instance ------------------------------------------------------------------------------------------------------ */

/* Under PAGEREEL_VK_VALIDATE any message is a fault of ours that no test may pass over. */
static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity, (void)type, (void)user;
    fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
    abort();
}

static bool has_layer(const char *name)
{
    VkLayerProperties layers[64];
    uint32_t n = 64;
    if (vkEnumerateInstanceLayerProperties(&n, layers) < 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(layers[i].layerName, name) == 0)
            return true;
    return false;
}

int vk_instance_create(VkInstance *instance, VkDebugUtilsMessengerEXT *messenger)
{
    const char *layer = "VK_LAYER_KHRONOS_validation", *extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    const char *wanted = getenv("PAGEREEL_VK_VALIDATE");
    bool validate = wanted && strcmp(wanted, "1") == 0;
    uint32_t version = VK_API_VERSION_1_0;
    VkDebugUtilsMessengerCreateInfoEXT messages = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
    };
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "pagereel",
        .apiVersion = VK_API_VERSION_1_3,
    };
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};

    *messenger = VK_NULL_HANDLE;
    vkEnumerateInstanceVersion(&version);
    if (version < VK_API_VERSION_1_1)
        return base_fail(PR_ERR_DEVICE, "vulkan: the loader is older than Vulkan 1.1; update libvulkan");
    if (validate) {
        if (!has_layer(layer))
            return base_fail(PR_ERR_DEVICE, "vulkan: PAGEREEL_VK_VALIDATE is set, but the layer %s isn't installed",
                             layer);
        info.pNext = &messages;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = &layer;
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = &extension;
    }
    VkResult result = vkCreateInstance(&info, NULL, instance);
    if (result < 0)
        return base_fail(PR_ERR_DEVICE, "vulkan: no instance could be made (VkResult %d); is a driver installed?",
                         result);
    if (validate) {
        PFN_vkCreateDebugUtilsMessengerEXT create =
            (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(*instance, "vkCreateDebugUtilsMessengerEXT");
        if (!create || create(*instance, &messages, NULL, messenger) < 0) {
            vkDestroyInstance(*instance, NULL);
            return base_fail(PR_ERR_DEVICE, "vulkan: the validation layer takes no messenger");
        }
    }
    return PR_OK;
}

void vk_instance_destroy(VkInstance instance, VkDebugUtilsMessengerEXT messenger)
{
    if (messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(instance, "vkDestroyDebugUtilsMessengerEXT");
        destroy(instance, messenger, NULL);
    }
    vkDestroyInstance(instance, NULL);
}

int vk_physical_devices(VkInstance instance, VkPhysicalDevice *devices, int max)
{
    uint32_t n = (uint32_t)max;
    return vkEnumeratePhysicalDevices(instance, &n, devices) < 0 ? 0 : (int)n;
}

/* ---- what a device offers --------------------------------------------------------------------------------------------- */

struct extensions {
    VkExtensionProperties *list;
    uint32_t n;
};

static struct extensions get_extensions(VkPhysicalDevice physical)
{
    struct extensions e = {0};
    vkEnumerateDeviceExtensionProperties(physical, NULL, &e.n, NULL);
    e.list = base_alloc_array(e.n + 1, sizeof *e.list);
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &e.n, e.list) < 0)
        e.n = 0;
    return e;
}

static bool has(const struct extensions *e, const char *name)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (strcmp(e->list[i].extensionName, name) == 0)
            return true;
    return false;
}

/* The first family that computes; those that draw as well come first in practice and are no slower. */
static int find_queue_family(VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[16];
    uint32_t n = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    for (uint32_t i = 0; i < n; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
            return (int)i;
    return -1;
}

/* Whether the host can work in all of the device's own memory as in its own. */
static bool is_unified(const VkPhysicalDeviceMemoryProperties *memory)
{
    const VkMemoryPropertyFlags ordinary = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                           VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkDeviceSize device_local = 0, shared = 0;
    for (uint32_t h = 0; h < memory->memoryHeapCount; h++)
        if (memory->memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            memory->memoryHeaps[h].size > device_local)
            device_local = memory->memoryHeaps[h].size;
    for (uint32_t t = 0; t < memory->memoryTypeCount; t++)
        if ((memory->memoryTypes[t].propertyFlags & ordinary) == ordinary &&
            memory->memoryHeaps[memory->memoryTypes[t].heapIndex].size > shared)
            shared = memory->memoryHeaps[memory->memoryTypes[t].heapIndex].size;
    return shared > 0 && shared >= device_local;
}

static void get_driver(VkPhysicalDevice physical, const struct extensions *e, struct vk_caps *caps)
{
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &driver};
    if (caps->properties.apiVersion < VK_API_VERSION_1_2 && !has(e, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME))
        return;
    vkGetPhysicalDeviceProperties2(physical, &properties);
    snprintf(caps->driver, sizeof caps->driver, "%.40s %.80s", driver.driverName, driver.driverInfo);
}

static void get_subgroups(VkPhysicalDevice physical, const struct extensions *e, struct vk_caps *caps)
{
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    caps->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &caps->subgroup};
    bool extension = has(e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    if (extension)
        caps->subgroup.pNext = &control;
    vkGetPhysicalDeviceProperties2(physical, &properties);
    caps->subgroup.pNext = NULL;

    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT};
    VkPhysicalDeviceFeatures2 query = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features};
    if (extension)
        vkGetPhysicalDeviceFeatures2(physical, &query);
    caps->subgroup_control = extension && features.subgroupSizeControl && features.computeFullSubgroups &&
                             control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    caps->min_subgroup = extension ? control.minSubgroupSize : caps->subgroup.subgroupSize;
    caps->max_subgroup = extension ? control.maxSubgroupSize : caps->subgroup.subgroupSize;
}

static void get_arithmetic(VkPhysicalDevice physical, const struct extensions *e, struct vk_caps *caps)
{
    VkPhysicalDevice16BitStorageFeatures storage16 = {.sType =
                                                          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDevice8BitStorageFeatures storage8 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features small = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    VkPhysicalDeviceFeatures2 query = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &storage16};
    bool v12 = caps->properties.apiVersion >= VK_API_VERSION_1_2;
    bool dots = caps->api13 || has(e, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    void **tail = &storage16.pNext;
    if (v12 || has(e, VK_KHR_8BIT_STORAGE_EXTENSION_NAME)) {
        *tail = &storage8;
        tail = &storage8.pNext;
    }
    if (v12 || has(e, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME)) {
        *tail = &small;
        tail = &small.pNext;
    }
    if (dots)
        *tail = &dot;
    vkGetPhysicalDeviceFeatures2(physical, &query);
    caps->storage16 = storage16.storageBuffer16BitAccess && !vk_assumed("no-16bit-storage", NULL);
    caps->storage8 = storage8.storageBuffer8BitAccess;
    caps->float16_there = small.shaderFloat16;
    /* Processors compute it by way of 32 bits. */
    caps->float16 = small.shaderFloat16 && !vk_assumed("no-float16", NULL) &&
                    (caps->properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU || vk_assumed("fast-float16", NULL));
    caps->int8 = small.shaderInt8;
    caps->dot_there = dot.shaderIntegerDotProduct;
    if (!caps->dot_there)
        return;
    VkPhysicalDeviceShaderIntegerDotProductProperties speed = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &speed};
    vkGetPhysicalDeviceProperties2(physical, &properties);
    caps->dot_product = (speed.integerDotProduct4x8BitPackedSignedAccelerated && !vk_assumed("no-dot", NULL)) ||
                        vk_assumed("fast-dot", NULL);
}

/* Whether a subgroup multiplies 16 x 16 matrices of f16 and adds them up in f32. */
static bool has_shape(VkInstance instance, VkPhysicalDevice physical)
{
    VkCooperativeMatrixPropertiesKHR shapes[64];
    uint32_t n = 64;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    for (uint32_t i = 0; i < n; i++)
        shapes[i] = (VkCooperativeMatrixPropertiesKHR){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (!get || get(physical, &n, shapes) < 0)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const VkCooperativeMatrixPropertiesKHR *s = &shapes[i];
        if (s->MSize == 16 && s->NSize == 16 && s->KSize == 16 && s->scope == VK_SCOPE_SUBGROUP_KHR &&
            s->AType == VK_COMPONENT_TYPE_FLOAT16_KHR && s->BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
            s->CType == VK_COMPONENT_TYPE_FLOAT32_KHR && s->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR)
            return true;
    }
    return false;
}

static void get_cooperative(VkInstance instance, VkPhysicalDevice physical, const struct extensions *e,
                            struct vk_caps *caps)
{
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, .pNext = &matrix};
    VkPhysicalDeviceFeatures2 query = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &memory};
    caps->cooperative_there = has(e, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    if (!caps->cooperative_there || caps->properties.apiVersion < VK_API_VERSION_1_2)
        return;
    vkGetPhysicalDeviceFeatures2(physical, &query);
    caps->cooperative_16 = matrix.cooperativeMatrix && memory.vulkanMemoryModel && caps->float16_there &&
                           caps->subgroup_control && has_shape(instance, physical);
}

/* For lists of pipelines (tools/radv) a device may be said to have them. */
static bool uses_cooperative(const struct vk_caps *caps)
{
#ifdef PAGEREEL_COOPERATIVE_MATRIX
    return (caps->cooperative_16 && !vk_assumed("no-cooperative-matrix", NULL)) ||
           vk_assumed("cooperative-matrix", NULL);
#else
    (void)caps;
    return false;
#endif
}

static size_t get_most_memory(VkPhysicalDevice physical)
{
    VkPhysicalDeviceMaintenance3Properties limits = {.sType =
                                                         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &limits};
    vkGetPhysicalDeviceProperties2(physical, &properties);
    return (size_t)limits.maxMemoryAllocationSize;
}

static void get_import(VkPhysicalDevice physical, const struct extensions *e, struct vk_caps *caps)
{
    caps->host_import = has(e, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME) && !vk_assumed("no-import", NULL);
    if (!caps->host_import)
        return;
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &host};
    vkGetPhysicalDeviceProperties2(physical, &properties);
    caps->import_align = (size_t)host.minImportedHostPointerAlignment;
}

/* What every kernel takes for granted. */
static void find_lacks(struct vk_caps *caps)
{
    const VkSubgroupFeatureFlags needed =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    const char *lacks = "";
    if (caps->properties.apiVersion < VK_API_VERSION_1_1)
        lacks = "Vulkan 1.1";
    else if (caps->queue_family < 0)
        lacks = "a compute queue";
    else if ((caps->subgroup.supportedOperations & needed) != needed ||
             !(caps->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
        lacks = "subgroup arithmetic and shuffles";
    else if (!caps->subgroup_control && caps->min_subgroup != caps->max_subgroup)
        lacks = "subgroups of one size";
    else if (!caps->storage16)
        lacks = "16-bit storage";
    snprintf(caps->lacks, sizeof caps->lacks, "%s", lacks);
}

void vk_get_caps(VkInstance instance, VkPhysicalDevice physical, struct vk_caps *caps)
{
    *caps = (struct vk_caps){0};
    vkGetPhysicalDeviceProperties(physical, &caps->properties);
    vkGetPhysicalDeviceMemoryProperties(physical, &caps->memory);
    caps->queue_family = find_queue_family(physical);
    if (caps->properties.apiVersion >= VK_API_VERSION_1_1) {
        struct extensions e = get_extensions(physical);
        caps->api13 = caps->properties.apiVersion >= VK_API_VERSION_1_3;
        get_driver(physical, &e, caps);
        get_subgroups(physical, &e, caps);
        get_arithmetic(physical, &e, caps);
        get_import(physical, &e, caps);
        caps->most_memory = get_most_memory(physical);
        get_cooperative(instance, physical, &e, caps);
        caps->cooperative_matrix = uses_cooperative(caps);
        caps->executable_properties = has(&e, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
        base_free(e.list);
    }
    caps->unified = is_unified(&caps->memory) && !vk_assumed("staging", NULL);
    find_lacks(caps);
}

/* ---- what people are told ------------------------------------------------------------------------------------------------ */

static void add_feature(struct device_info *info, const char *name, bool used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add_feature(struct device_info *info, const char *name, bool used, const char *format, ...)
{
    va_list args;
    if (info->n_features == DEVICE_FEATURES_MAX)
        return;
    struct device_feature *f = &info->features[info->n_features++];
    f->name = name;
    f->used = used;
    va_start(args, format);
    vsnprintf(f->why, sizeof f->why, format, args);
    va_end(args);
}

static uint64_t memory_size(const VkPhysicalDeviceMemoryProperties *memory)
{
    uint64_t largest = 0;
    for (uint32_t h = 0; h < memory->memoryHeapCount; h++)
        if (memory->memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && memory->memoryHeaps[h].size > largest)
            largest = memory->memoryHeaps[h].size;
    return largest;
}

#ifdef PAGEREEL_COOPERATIVE_MATRIX
#define COOPERATIVE_NOT_USED "switched off"
#else
#define COOPERATIVE_NOT_USED "the device has it, but the shader compiler of this build didn't know it"
#endif

void vk_describe(const struct vk_caps *caps, int index, struct device_info *info)
{
    bool better = caps->dot_product || caps->cooperative_matrix; /* than 16-bit arithmetic */
    const VkPhysicalDeviceProperties *p = &caps->properties;
    *info = (struct device_info){0};
    snprintf(info->id, sizeof info->id, "vulkan:%d", index);
    snprintf(info->name, sizeof info->name, "%.127s", p->deviceName);
    char number[24];
    snprintf(number, sizeof number, "driver 0x%x", p->driverVersion);
    snprintf(info->driver, sizeof info->driver, "Vulkan %u.%u.%u, %.96s", VK_API_VERSION_MAJOR(p->apiVersion),
             VK_API_VERSION_MINOR(p->apiVersion), VK_API_VERSION_PATCH(p->apiVersion),
             caps->driver[0] ? caps->driver : number);
    info->software = p->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    info->memory = memory_size(&caps->memory);
    if (caps->lacks[0])
        add_feature(info, "all of it", false, "the device has no %s", caps->lacks);
    add_feature(info, "subgroups", true, "of %u to %u, arithmetic and shuffles; size %s", caps->min_subgroup,
                caps->max_subgroup, caps->subgroup_control ? "fixed in each pipeline" : "as the driver chooses");
    add_feature(info, "16-bit storage", caps->storage16, "%s",
                caps->storage16 ? "caches and activations in f16, bf16 and q8_0 are written with it"
                                : "the device hasn't got it");
    add_feature(info, "16-bit arithmetic", caps->float16 && !better, "%s",
                !caps->float16_there ? "the device hasn't got it"
                : !caps->float16     ? "the device has it, but not faster than 32-bit arithmetic"
                : better             ? "other arithmetic is faster still"
                                     : "quantised weights times many tokens, in sums of 16");
    add_feature(info, "8-bit storage", false, "%s",
                caps->storage8 ? "texel buffers read 8-bit numbers on every device" : "the device hasn't got it");
    add_feature(info, "integer dot product", caps->dot_product && !caps->cooperative_matrix, "%s",
                caps->dot_product && caps->cooperative_matrix ? "cooperative matrices are faster still"
                : caps->dot_product ? "quantised weights times many tokens, which are rounded to 8 bits"
                : caps->dot_there   ? "the device has it, but not faster than other arithmetic"
                                    : "the device hasn't got it");
    add_feature(info, "cooperative matrix", caps->cooperative_matrix, "%s",
                caps->cooperative_matrix   ? "f16 and quantised weights times many tokens, which are rounded to f16"
                : !caps->cooperative_there ? "the device hasn't got it"
                : !caps->cooperative_16    ? "the device hasn't got 16 x 16 of f16 with sums of f32"
                                           : COOPERATIVE_NOT_USED);
    add_feature(info, "memory shared with the host", caps->unified, "%s",
                caps->unified ? "the host reads and writes device memory directly" : "data is copied through staging");
    add_feature(info, "host memory import", caps->host_import && caps->unified, "%s",
                !caps->host_import ? "the device hasn't got it"
                : caps->unified    ? "floats, Q4_K and Q5_K are read where the file is mapped; others are rearranged"
                                   : "the device's own memory is faster");
    add_feature(info, "storage range", true, "%u MiB; larger tensors are bound in parts",
                (unsigned)(p->limits.maxStorageBufferRange >> 20));
}

/* ---- the logical device --------------------------------------------------------------------------------------------------- */

int vk_result(struct vk *vk, VkResult result, const char *doing)
{
    const char *id = vk->device->info.id;
    if (result >= 0)
        return PR_OK;
    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        vk->lost = true;
        return base_fail(PR_ERR_DEVICE_LOST,
                         "%s: the device was lost while %s; start again, with --device cpu if it happens again", id,
                         doing);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return base_fail(PR_ERR_NOMEM,
                         "%s: the device ran out of memory while %s; use a smaller context or model, or --gpu-memory",
                         id, doing);
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return base_fail(PR_ERR_NOMEM, "%s: the host ran out of memory while %s", id, doing);
    default:
        return base_fail(PR_ERR_DEVICE, "%s: the driver failed with VkResult %d while %s; try --device cpu", id, result,
                         doing);
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void set_limits(struct vk *vk)
{
    const VkPhysicalDeviceLimits *limits = &vk->caps.properties.limits;
    const size_t most = (size_t)1 << 30; /* keeps every index in 31 bits */
    size_t range = most;
    vk_assumed("range", &range);
    vk->storage_range = smaller(smaller(limits->maxStorageBufferRange, most), range);
    vk->texel_elements = smaller(smaller(limits->maxTexelBufferElements, most), range / 16);
    /* Where there is a choice, 32: tiles are larger than the registers of wider subgroups, and of narrower ones more are needed. */
    vk->subgroup = (int)vk->caps.subgroup.subgroupSize;
    if (vk->caps.subgroup_control && vk->caps.min_subgroup <= 32 && vk->caps.max_subgroup >= 32)
        vk->subgroup = 32;
    size_t subgroup = (size_t)vk->subgroup;
    vk_assumed("subgroup", &subgroup);
    vk->subgroup = (int)subgroup;
    vk->units = vk->caps.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ? 8 : 512;
}

int vk_open_logical(struct vk *vk)
{
    const struct vk_caps *caps = &vk->caps;
    const char *extensions[8];
    uint32_t n = 0;
    float priority = 1;
    VkPhysicalDevice16BitStorageFeatures storage16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                      .storageBuffer16BitAccess = VK_TRUE};
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroups = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dots = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
        .shaderIntegerDotProduct = VK_TRUE};
    VkPhysicalDeviceShaderFloat16Int8Features small = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .shaderFloat16 = VK_TRUE};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = VK_TRUE};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, .vulkanMemoryModel = VK_TRUE};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = (uint32_t)caps->queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &storage16,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .ppEnabledExtensionNames = extensions};
    if (caps->subgroup_control) {
        storage16.pNext = &subgroups;
        if (!caps->api13)
            extensions[n++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    }
    if (caps->host_import)
        extensions[n++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    if (caps->dot_product) {
        dots.pNext = storage16.pNext;
        storage16.pNext = &dots;
        if (!caps->api13)
            extensions[n++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    }
    if (caps->float16 || (caps->cooperative_matrix && caps->float16_there)) {
        small.pNext = storage16.pNext;
        storage16.pNext = &small;
        if (caps->properties.apiVersion < VK_API_VERSION_1_2)
            extensions[n++] = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME;
    }
    if (caps->cooperative_matrix && caps->cooperative_16) { /* only with Vulkan 1.2 */
        memory_model.pNext = storage16.pNext;
        matrix.pNext = &memory_model;
        storage16.pNext = &matrix;
        extensions[n++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    }
    if (vk->capture_stats) {
        executables.pNext = storage16.pNext;
        storage16.pNext = &executables;
        extensions[n++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    }
    info.enabledExtensionCount = n;
    int err = vk_result(vk, vkCreateDevice(vk->physical, &info, NULL, &vk->logical), "opening it");
    if (err < 0)
        return err;
    vkGetDeviceQueue(vk->logical, (uint32_t)caps->queue_family, 0, &vk->queue);
    set_limits(vk);
    return PR_OK;
}
