/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compiles pipelines for a Vulkan device that needn't exist and prints what its compiler says of them.
 *
 *     radv_stats LIST             (lines "SHADER CONSTANT...", as PAGEREEL_VK_LIST writes them)
 *     radv_stats LIST FOLDER      the same with a pipeline cache in FOLDER; prints only how long it took
 *
 * With RADV_FORCE_FAMILY Mesa's driver for AMD compiles without hardware, and can do nothing else: so only the parts of the
 * backend are used that make pipelines. Output: shader, constants, and the driver's statistics as name=value, by tabs.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int find_shader(const char *name)
{
    for (int i = 0; i < (int)SHADER_COUNT; i++)
        if (strcmp(vk_shader_name((enum vk_shader)i), name) == 0)
            return i;
    return -1;
}

static void print_stats(struct vk *vk, VkPipeline pipeline)
{
    PFN_vkGetPipelineExecutableStatisticsKHR get = (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(
        vk->logical, "vkGetPipelineExecutableStatisticsKHR");
    VkPipelineExecutableInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutableStatisticKHR stats[64];
    uint32_t n = 64;
    for (uint32_t i = 0; i < n; i++)
        stats[i] = (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    if (!get || get(vk->logical, &info, &n, stats) < 0)
        n = 0;
    for (uint32_t i = 0; i < n; i++)
        if (stats[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR)
            printf("\t%s=%llu", stats[i].name, (unsigned long long)stats[i].value.u64);
}

static int compile_line(struct vk *vk, char *line)
{
    int32_t specs[VK_MAX_SPECS];
    int n = 0;
    VkPipeline pipeline;
    char *word = strtok(line, " \n");
    int shader = word ? find_shader(word) : -1;
    if (shader < 0)
        return base_fail(PR_ERR_INVALID, "no shader %s", word ? word : "");
    while (n < VK_MAX_SPECS && (word = strtok(NULL, " \n")))
        specs[n++] = atoi(word);
    int err = vk_pipeline_get(vk, (enum vk_shader)shader, specs, n, &pipeline);
    if (err < 0 || !vk->capture_stats)
        return err;
    printf("%s\t", vk_shader_name((enum vk_shader)shader));
    for (int i = 0; i < n; i++)
        printf("%s%d", i ? "," : "", specs[i]);
    print_stats(vk, pipeline);
    printf("\n");
    return PR_OK;
}

int main(int argc, char **argv)
{
    static struct device device;
    static struct vk vk = {.device = &device};
    char line[256];
    int err = PR_OK, n = 0;
    FILE *list = argc == 2 || argc == 3 ? fopen(argv[1], "r") : NULL;
    if (!list) {
        fprintf(stderr, "usage: radv_stats LIST [FOLDER]\n");
        return 2;
    }
    vk.capture_stats = argc == 2; /* what is asked for statistics isn't taken from a cache */
    vk.cache_dir = argc == 3 ? argv[2] : NULL;
    TRY(vk_instance_create(&vk.instance, &vk.messenger));
    if (vk_physical_devices(vk.instance, &vk.physical, 1) == 0) {
        err = base_fail(PR_ERR_DEVICE, "no device; is the driver installed?");
        goto fail;
    }
    vk_get_caps(vk.instance, vk.physical, &vk.caps);
    vk_describe(&vk.caps, 0, &device.info);
    if (vk.capture_stats && !vk.caps.executable_properties) {
        err = base_fail(PR_ERR_DEVICE, "%s doesn't say what becomes of pipelines", device.info.name);
        goto fail;
    }
    TRY(vk_open_logical(&vk));
    double start = now();
    TRY(vk_layouts_open(&vk));
    if (!vk.capture_stats)
        TRY(vk_cache_open(&vk));
    printf("# %s\n", device.info.name);
    for (int i = 0; i < device.info.n_features; i++)
        printf("# %s: %s, %s\n", device.info.features[i].name, device.info.features[i].used ? "used" : "not used",
               device.info.features[i].why);
    while (fgets(line, sizeof line, list)) {
        if (strncmp(line, "matmul_coop", 11) == 0 && !vk.caps.cooperative_matrix)
            continue;
        TRY(compile_line(&vk, line));
        n++;
    }
    fclose(list);
    if (!vk.capture_stats) {
        printf("%d pipelines in %.3f s\n", n, now() - start);
        vk_pipelines_save(&vk);
    }
    return 0;
fail:
    fprintf(stderr, "radv_stats: %s\n", pr_error_message());
    return 1;
}
