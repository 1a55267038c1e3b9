// llama.cpp's image encoder alone: one picture through an mmproj file, how long each run took, and the visual tokens.
//
// usage: clip_encode MMPROJ cpu|gpu THREADS RUNS WIDTH HEIGHT PIXELS OUT
//
// PIXELS holds normalised pixels, f32 [height, width, 3]; OUT becomes the visual tokens, f32 [tokens, width]. Prints one line of JSON.
// Built against llama.cpp's internal clip.h (tools/peer/README.md): the same source serves its CPU and its Vulkan libraries.
#include "clip-impl.h"
#include "clip.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

static std::vector<float> read_floats(const char *path, size_t n)
{
    std::vector<float> values(n);
    std::ifstream in(path, std::ios::binary);
    if (!in.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(n * sizeof(float)))) {
        fprintf(stderr, "%s: can't be read\n", path);
        exit(1);
    }
    return values;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: clip_encode MMPROJ cpu|gpu THREADS RUNS WIDTH HEIGHT PIXELS OUT\n");
        return 2;
    }
    const int threads = atoi(argv[3]), runs = atoi(argv[4]), width = atoi(argv[5]), height = atoi(argv[6]);
    clip_context_params params = {};
    params.use_gpu = std::string(argv[2]) == "gpu";
    params.flash_attn_type = CLIP_FLASH_ATTN_TYPE_AUTO;
    params.image_min_tokens = params.image_max_tokens = -1;
    clip_ctx *ctx = clip_init(argv[1], params).ctx_v;
    if (!ctx)
        return 1;

    clip_image_f32 image;
    image.set_size({width, height}, false, false);
    image.cpy_buf(read_floats(argv[7], static_cast<size_t>(width) * static_cast<size_t>(height) * 3));
    const size_t n = static_cast<size_t>(clip_n_output_tokens(ctx, &image)),
                 d = static_cast<size_t>(clip_n_mmproj_embd(ctx));
    std::vector<float> rows(n * d);
    printf("{\"tokens\": %zu, \"width\": %zu, \"ms\": [", n, d);
    for (int i = -1; i < runs; i++) { // the first one warms up
        const int64_t start = ggml_time_us();
        if (!clip_image_encode(ctx, threads, &image, rows))
            return 1;
        if (i >= 0)
            printf("%s%.2f", i ? ", " : "", static_cast<double>(ggml_time_us() - start) * 1e-3);
    }
    printf("]}\n");
    std::ofstream(argv[8], std::ios::binary)
        .write(reinterpret_cast<const char *>(rows.data()), static_cast<std::streamsize>(rows.size() * sizeof(float)));
    clip_free(ctx);
    return 0;
}
