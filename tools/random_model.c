/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * random_model OUT.gguf [options]: a text model of random weights, for tests and measurements of speed, which don't depend on
 * what the weights say. It means nothing as language. The same seed gives the same weights before they are quantised, whatever
 * the type. Other GGUF programs read the file too.
 */
#include "compute/ref/ref.h"
#include "tests/support/gguf_writer.h"
#include "tools/quantize.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct options {
    const char *arch, *out;
    int layers, dim, heads, kv, head_dim, ffn, vocab, ctx, parts;
    uint64_t seed;
    bool tied, dequantised, chat, words;
    int type, embedding; /* enum type; embedding -1: by itself */
    bool mix_q4_k_m;
};

static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen2vl", "qwen3vl"};

static const char usage[] =
    "usage: random_model OUT.gguf [options]\n"
    "Writes a text model of random weights. Defaults: the shape of SmolLM2-135M.\n"
    "  --arch llama|qwen2|qwen3|qwen2vl|qwen3vl\n"
    "  --layers N (30)  --dim N (576)  --heads N (9)  --kv N (3)  --head-dim N (dim/heads)\n"
    "  --ffn N (1536)  --vocab N (49152, at least 261)  --ctx N (8192)  --seed N (0)\n"
    "  --tied 0|1 (1)       whether the output matrix is the token embedding\n"
    "  --type TYPE (q8_0)   f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4\n"
    "  --mix q4_k_m         Q4_K, but Q6_K for output and half of the layers' attn_v and ffn_down, as llama.cpp's "
    "Q4_K_M\n"
    "  --embedding TYPE     of the token embedding; default: the type if it has 8 bits or more, else q8_0\n"
    "  --dequantised        the same weights, after their quantisation, as f32\n"
    "  --split N            in N files, named OUT-00001-of-0000N.gguf\n"
    "  --chat               with a chat template (ChatML)\n"
    "  --words              made-up words as tokens instead of <|u0|>, <|u1|>, ...\n";

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("random_model: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- weights ------------------------------------------------------------------------------------------------------ */

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The sum of four uniform numbers, which is near enough to a normal distribution; its standard deviation is `scale`. */
static void fill_random(uint64_t *state, float mean, float scale, float *out, int64_t n)
{
    const float unit = scale * 1.7320508f / 65536; /* four uniforms on (-1/2, 1/2) have a variance of 1/3 */
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = next_random(state);
        int32_t sum =
            (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) + (int32_t)(r >> 48);
        out[i] = mean + (float)(sum - 2 * 65535) * unit;
    }
}

struct weight {
    char name[64];
    enum type type; /* after which it is quantised */
    int64_t cols, rows;
    int n_dims;
    float mean, scale;
};

struct model {
    struct weight *weights;
    size_t n;
};

static void add(struct model *m, const char *name, enum type type, int64_t rows, int64_t cols, float mean, float scale)
{
    m->weights = base_realloc(m->weights, (m->n + 1) * sizeof *m->weights);
    struct weight *w = &m->weights[m->n++];
    *w = (struct weight){
        .type = type, .cols = cols, .rows = rows, .n_dims = rows > 1 ? 2 : 1, .mean = mean, .scale = scale};
    snprintf(w->name, sizeof w->name, "%s", name);
    const struct type_traits *t = compute_type((int)type);
    if (cols % t->block != 0)
        die("%s has rows of %lld, but %s goes in blocks of %d; choose --dim, --ffn and --head-dim so, such as --dim "
            "768 --ffn 2048 "
            "--heads 12 --kv 4",
            name, (long long)cols, t->name, t->block);
}

static void __attribute__((format(printf, 5, 6)))
add_matrix(struct model *m, enum type type, int64_t rows, int64_t cols, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    add(m, name, type, rows, cols, 0, 1 / sqrtf((float)cols));
}

/* A norm (around 1) or a bias (around 0). */
static void __attribute__((format(printf, 4, 5)))
add_vector(struct model *m, int64_t cols, float mean, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    add(m, name, TYPE_F32, 1, cols, mean, 0.1f);
}

/* The layers whose attn_v and ffn_down llama.cpp's Q4_K_M gives more bits: the first and last eighth, a third of the others. */
static bool more_bits(int layer, int layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static bool is_arch(const struct options *o, const char *prefix)
{
    return strncmp(o->arch, prefix, strlen(prefix)) == 0;
}

static void add_layer(struct model *m, const struct options *o, int i)
{
    enum type type = o->mix_q4_k_m ? TYPE_Q4_K : (enum type)o->type;
    enum type better = o->mix_q4_k_m && more_bits(i, o->layers) ? TYPE_Q6_K : type;
    int q = o->heads * o->head_dim, kv = o->kv * o->head_dim;
    add_vector(m, o->dim, 1, "blk.%d.attn_norm.weight", i);
    add_matrix(m, type, q, o->dim, "blk.%d.attn_q.weight", i);
    add_matrix(m, type, kv, o->dim, "blk.%d.attn_k.weight", i);
    add_matrix(m, better, kv, o->dim, "blk.%d.attn_v.weight", i);
    if (is_arch(o, "qwen2")) {
        add_vector(m, q, 0, "blk.%d.attn_q.bias", i);
        add_vector(m, kv, 0, "blk.%d.attn_k.bias", i);
        add_vector(m, kv, 0, "blk.%d.attn_v.bias", i);
    }
    if (is_arch(o, "qwen3")) {
        add_vector(m, o->head_dim, 1, "blk.%d.attn_q_norm.weight", i);
        add_vector(m, o->head_dim, 1, "blk.%d.attn_k_norm.weight", i);
    }
    add_matrix(m, type, o->dim, q, "blk.%d.attn_output.weight", i);
    add_vector(m, o->dim, 1, "blk.%d.ffn_norm.weight", i);
    add_matrix(m, type, o->ffn, o->dim, "blk.%d.ffn_gate.weight", i);
    add_matrix(m, type, o->ffn, o->dim, "blk.%d.ffn_up.weight", i);
    add_matrix(m, better, o->dim, o->ffn, "blk.%d.ffn_down.weight", i);
}

static enum type embedding_type(const struct options *o)
{
    if (o->embedding >= 0)
        return (enum type)o->embedding;
    if (o->mix_q4_k_m)
        return o->tied ? TYPE_Q6_K : TYPE_Q4_K;
    bool eight_bits = compute_type(o->type)->block == 1 || o->type == TYPE_Q8_0;
    return eight_bits ? (enum type)o->type : TYPE_Q8_0;
}

static void add_weights(struct model *m, const struct options *o)
{
    add_matrix(m, embedding_type(o), o->vocab, o->dim, "token_embd.weight");
    for (int i = 0; i < o->layers; i++)
        add_layer(m, o, i);
    add_vector(m, o->dim, 1, "output_norm.weight");
    if (!o->tied)
        add_matrix(m, o->mix_q4_k_m ? TYPE_Q6_K : (enum type)o->type, o->vocab, o->dim, "output.weight");
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

/* The printable character that byte-level BPE (GPT-2) writes for a byte, as UTF-8. */
static void byte_token(int byte, char out[3])
{
    int plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    int code = byte;
    if (!plain) /* the others are numbered from 256 on, in their order: 0-32, 127-160, 173 */
        code = 256 + (byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67);
    if (code < 0x80) {
        out[0] = (char)code;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        out[2] = '\0';
    }
}

/* A word of two syllables or more, another one for each number. */
static void made_up_word(int i, struct base_buf *out)
{
    static const char *const syllables[] = {"ba", "ce", "di", "fo", "gu", "ha", "je", "ki",  "lo",  "mu", "na",
                                            "pe", "ri", "so", "tu", "va", "we", "zi", "cho", "shu", "tha"};
    enum { N = sizeof syllables / sizeof *syllables };
    base_buf_puts(out, "\xc4\xa0"); /* a space, in byte-level BPE */
    for (i += N; i > 0; i /= N)
        base_buf_puts(out, syllables[i % N]);
}

enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_UNUSED = 5, N_FIXED = 261, FIRST_SPECIAL = 258 };

static void add_tokenizer(struct gguf_writer *w, const struct options *o)
{
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    struct base_buf texts = {0}, word = {0};
    int32_t *types = base_alloc_array((size_t)o->vocab, sizeof *types);
    for (int i = 0; i < o->vocab; i++) {
        char byte[3];
        types[i] = TOKEN_NORMAL;
        word.len = 0;
        if (i < 256) {
            byte_token(i, byte);
            base_buf_puts(&word, byte);
        } else if (i < FIRST_SPECIAL) {
            base_buf_puts(&word, i == 256 ? "\xc4\xa0t" : "he");
        } else if (i < N_FIXED) {
            base_buf_puts(&word, special[i - FIRST_SPECIAL]);
            types[i] = TOKEN_CONTROL;
        } else if (o->words) {
            made_up_word(i - N_FIXED, &word);
        } else {
            base_buf_printf(&word, "<|u%d|>", i - N_FIXED);
            types[i] = TOKEN_UNUSED;
        }
        gguf_writer_text(&texts, word.data, word.len);
    }
    gguf_writer_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_writer_string(w, "tokenizer.ggml.pre", is_arch(o, "qwen") ? "qwen2" : "smollm");
    gguf_writer_array(w, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)o->vocab, texts.data, texts.len);
    gguf_writer_i32s(w, "tokenizer.ggml.token_type", types, (size_t)o->vocab);
    gguf_writer_strings(w, "tokenizer.ggml.merges", (const char *[]){"\xc4\xa0 t", "h e"}, 2);
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", FIRST_SPECIAL);
    gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", FIRST_SPECIAL + 2);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", false);
    if (o->chat)
        gguf_writer_string(
            w, "tokenizer.chat_template",
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
            "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
    base_free(types);
    base_buf_finish(&texts);
    base_buf_finish(&word);
}

static void add_keys(struct gguf_writer *w, const struct options *o)
{
    char key[96];
#define KEY(name) (snprintf(key, sizeof key, "%s." name, o->arch), key)
    int pairs = o->head_dim / 2;
    gguf_writer_string(w, "general.architecture", o->arch);
    gguf_writer_string(w, "general.name", "random");
    gguf_writer_u32(w, KEY("block_count"), (uint32_t)o->layers);
    gguf_writer_u32(w, KEY("context_length"), (uint32_t)o->ctx);
    gguf_writer_u32(w, KEY("embedding_length"), (uint32_t)o->dim);
    gguf_writer_u32(w, KEY("feed_forward_length"), (uint32_t)o->ffn);
    gguf_writer_u32(w, KEY("attention.head_count"), (uint32_t)o->heads);
    gguf_writer_u32(w, KEY("attention.head_count_kv"), (uint32_t)o->kv);
    gguf_writer_u32(w, KEY("attention.key_length"), (uint32_t)o->head_dim);
    gguf_writer_u32(w, KEY("attention.value_length"), (uint32_t)o->head_dim);
    gguf_writer_f32(w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    gguf_writer_u32(w, KEY("rope.dimension_count"), (uint32_t)o->head_dim);
    gguf_writer_f32(w, KEY("rope.freq_base"), 100000);
    gguf_writer_u32(w, KEY("vocab_size"), (uint32_t)o->vocab);
    if (strstr(o->arch, "vl")) {
        int h = strcmp(o->arch, "qwen3vl") == 0 ? pairs * 5 / 16 : pairs * 3 / 8;
        gguf_writer_i32s(w, KEY("rope.dimension_sections"), (int32_t[]){pairs - 2 * h, h, h, 0}, 4);
    }
    if (strcmp(o->arch, "qwen3vl") == 0)
        gguf_writer_u32(w, KEY("n_deepstack_layers"),
                        o->layers > 3 ? 3 : (uint32_t)o->layers - 1); /* llama.cpp wants fewer than layers */
    add_tokenizer(w, o);
#undef KEY
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void write_bytes(FILE *file, const char *path, const void *data, size_t size)
{
    if (size > 0 && fwrite(data, size, 1, file) != 1)
        die("%s: can't be written: %s", path, strerror(errno));
}

/* Row by row, so that memory stays small whatever the model. */
static void write_weight(FILE *file, const char *path, const struct weight *weight, uint64_t seed, bool dequantised)
{
    size_t row_bytes = compute_row_bytes(weight->type, weight->cols);
    float *row = base_alloc_array((size_t)weight->cols, sizeof *row);
    uint8_t *blocks = base_alloc(row_bytes);
    uint64_t state = seed;
    for (int64_t r = 0; r < weight->rows; r++) {
        fill_random(&state, weight->mean, weight->scale, row, weight->cols);
        quantize(weight->type, row, blocks, weight->cols);
        if (dequantised)
            ref_dequantize(weight->type, blocks, row, weight->cols);
        if (dequantised)
            write_bytes(file, path, row, (size_t)weight->cols * sizeof *row);
        else
            write_bytes(file, path, blocks, row_bytes);
    }
    base_free(row);
    base_free(blocks);
}

static uint64_t write_part(const struct options *o, const struct model *m, int part, const char *path)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf header = {0};
    size_t first = m->n * (size_t)part / (size_t)o->parts, end = m->n * (size_t)(part + 1) / (size_t)o->parts;
    FILE *file = fopen(path, "wb");
    if (!file)
        die("%s: can't be opened: %s", path, strerror(errno));
    if (part == 0)
        add_keys(&w, o);
    if (o->parts > 1)
        gguf_writer_split(&w, (uint16_t)part, (uint16_t)o->parts, (int32_t)m->n);
    for (size_t i = first; i < end; i++) {
        const struct weight *t = &m->weights[i];
        gguf_writer_tensor(&w, t->name, o->dequantised ? TYPE_F32 : t->type, t->n_dims, (int64_t[]){t->cols, t->rows});
    }
    gguf_writer_header(&w, &header);
    write_bytes(file, path, header.data, header.len);
    for (size_t i = first; i < end; i++) {
        uint64_t seed = o->seed * 1000003 + i;
        write_weight(file, path, &m->weights[i], next_random(&seed), o->dequantised);
        write_bytes(file, path, (char[64]){0}, gguf_writer_padding(&w, w.sizes[i - first]));
    }
    uint64_t size = header.len + w.offset;
    if (fclose(file) != 0)
        die("%s: can't be written: %s", path, strerror(errno));
    base_buf_finish(&header);
    gguf_writer_finish(&w);
    return size;
}

/* OUT.gguf, or OUT-00001-of-00003.gguf of a split model. */
static void part_path(const struct options *o, int part, struct base_buf *out)
{
    size_t len = strlen(o->out);
    if (len > 5 && strcmp(o->out + len - 5, ".gguf") == 0)
        len -= 5;
    if (o->parts == 1)
        base_buf_puts(out, o->out);
    else
        base_buf_printf(out, "%.*s-%05d-of-%05d.gguf", (int)len, o->out, part + 1, o->parts);
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

static int parse_type(const char *text)
{
    for (int i = 0; i < TYPE_LIMIT; i++)
        if (compute_type(i) && compute_type(i)->weight && strcasecmp(compute_type(i)->name, text) == 0)
            return i;
    die("there is no type %s; see random_model --help", text);
}

static int parse_int(const char *name, const char *text, int min, int max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < min || value > max)
        die("--%s %s: give a number from %d to %d", name, text, min, max);
    return (int)value;
}

static struct options parse_options(int argc, char **argv)
{
    struct options o = {.arch = "llama",
                        .layers = 30,
                        .dim = 576,
                        .heads = 9,
                        .kv = 3,
                        .ffn = 1536,
                        .vocab = 49152,
                        .ctx = 8192,
                        .parts = 1,
                        .tied = true,
                        .type = TYPE_Q8_0,
                        .embedding = -1};
    const struct {
        const char *name;
        int *value, min, max;
    } numbers[] = {{"layers", &o.layers, 1, 512},
                   {"dim", &o.dim, 1, 1 << 20},
                   {"heads", &o.heads, 1, 1024},
                   {"kv", &o.kv, 1, 1024},
                   {"head-dim", &o.head_dim, 2, 2048},
                   {"ffn", &o.ffn, 1, 1 << 20},
                   {"vocab", &o.vocab, N_FIXED, 1 << 24},
                   {"ctx", &o.ctx, 1, 1 << 30},
                   {"split", &o.parts, 1, 99}};
    enum { N_NUMBERS = sizeof numbers / sizeof *numbers };
    enum { ARCH = N_NUMBERS, SEED, TIED, TYPE, MIX, EMBEDDING, DEQUANTISED, CHAT, WORDS, HELP };
    struct option longs[N_NUMBERS + 11] = {[ARCH] = {"arch", 1, NULL, ARCH},
                                           [SEED] = {"seed", 1, NULL, SEED},
                                           [TIED] = {"tied", 1, NULL, TIED},
                                           [TYPE] = {"type", 1, NULL, TYPE},
                                           [MIX] = {"mix", 1, NULL, MIX},
                                           [EMBEDDING] = {"embedding", 1, NULL, EMBEDDING},
                                           [DEQUANTISED] = {"dequantised", 0, NULL, DEQUANTISED},
                                           [CHAT] = {"chat", 0, NULL, CHAT},
                                           [WORDS] = {"words", 0, NULL, WORDS},
                                           [HELP] = {"help", 0, NULL, HELP},
                                           {0}};
    for (int i = 0; i < N_NUMBERS; i++)
        longs[i] = (struct option){numbers[i].name, 1, NULL, i};

    int c;
    bool known = false;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c >= 0 && c < N_NUMBERS)
            *numbers[c].value = parse_int(numbers[c].name, optarg, numbers[c].min, numbers[c].max);
        else if (c == ARCH)
            o.arch = optarg;
        else if (c == SEED)
            o.seed = (uint64_t)parse_int("seed", optarg, 0, INT32_MAX);
        else if (c == TIED)
            o.tied = parse_int("tied", optarg, 0, 1);
        else if (c == TYPE)
            o.type = parse_type(optarg);
        else if (c == EMBEDDING)
            o.embedding = parse_type(optarg);
        else if (c == MIX && strcmp(optarg, "q4_k_m") == 0)
            o.mix_q4_k_m = true;
        else if (c == DEQUANTISED)
            o.dequantised = true;
        else if (c == CHAT)
            o.chat = true;
        else if (c == WORDS)
            o.words = true;
        else {
            fputs(usage, c == HELP ? stdout : stderr);
            exit(c != HELP);
        }
    }
    if (optind + 1 != argc) {
        fputs(usage, stderr);
        exit(1);
    }
    o.out = argv[optind];
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        known |= strcmp(o.arch, archs[i]) == 0;
    if (!known)
        die("there is no architecture %s; see random_model --help", o.arch);
    if (o.heads % o.kv != 0)
        die("--heads %d is not a multiple of --kv %d", o.heads, o.kv);
    if (o.head_dim == 0 && (o.dim % o.heads != 0 || o.dim / o.heads < 2))
        die("--dim %d is not a multiple of --heads %d; give --head-dim", o.dim, o.heads);
    if (o.head_dim == 0)
        o.head_dim = o.dim / o.heads;
    if (o.head_dim % 2 != 0)
        die("heads are %d wide, which is odd", o.head_dim);
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse_options(argc, argv);
    struct model m = {0};
    struct base_buf path = {0};
    uint64_t size = 0;
    add_weights(&m, &o);
    for (int part = 0; part < o.parts; part++) {
        path.len = 0;
        part_path(&o, part, &path);
        size += write_part(&o, &m, part, path.data);
        if (part == 0)
            fputs(path.data, stdout);
    }
    printf(" %.1f MB\n", (double)size / 1e6);
    base_buf_finish(&path);
    base_free(m.weights);
    return 0;
}
