/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The option table is the only place that knows an option's name, type, range, default, help and commands. Flags, --help, man
 * pages, the config file and the checks of what a program passes in struct pr_settings all read it.
 */
#include "engine/options.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The type of a row follows from its field, so that the two can't disagree; bytes and paths say so themselves. */
#define FIELD(name)                                                                                                    \
    .type = _Generic(((struct pr_settings *)0)->name,                                                                  \
        bool: PR_OPTION_BOOL,                                                                                          \
        int32_t: PR_OPTION_INT32,                                                                                      \
        int64_t: PR_OPTION_INT64,                                                                                      \
        float: PR_OPTION_FLOAT,                                                                                        \
        const char *: PR_OPTION_TEXT),                                                                                 \
    .offset = offsetof(struct pr_settings, name)
#define BYTES_FIELD(name) .type = PR_OPTION_BYTES, .offset = offsetof(struct pr_settings, name)
#define PATH_FIELD(name)  .type = PR_OPTION_PATH, .offset = offsetof(struct pr_settings, name)

#define MODEL_COMMANDS                                                                                                 \
    " read chat add plan ask run tokenize bench-llm bench-ppl embed bench-vision bench-needle bench-time "
#define DEVICE_COMMANDS  " read chat ask run bench-llm bench-ppl bench-needle bench-time "
#define COMPUTE_COMMANDS DEVICE_COMMANDS "add plan embed bench-vision "
#define ANSWER_COMMANDS  " read chat ask run "
#define SOURCE_COMMANDS  " inspect sheet "
#define SEEN_COMMANDS    " read chat ask add plan run embed inspect sheet "
#define RANGE_COMMANDS   " read chat ask run embed inspect sheet "
#define ASK_COMMANDS     " read chat ask "
#define LIBRARY_COMMANDS " read chat ask add list show rm "

static const struct pr_option options[] = {
    {"model", 'm', PATH_FIELD(model), "FILE", "", .commands = MODEL_COMMANDS,
     .help =
         "The language model: a GGUF file, or the first file of a split one. Without it what answers takes the small one that comes "
         "with pagereel, where that is installed."},
    {"device", 'd', FIELD(device), "DEVICE", "auto", .choices = "auto|cpu|vulkan[:N]|ref", .commands = COMPUTE_COMMANDS,
     .help = "Where to compute: the first GPU, or the CPU if there is none (auto); the CPU; the Nth Vulkan device; "
             "or the slow definition of every operation (ref)."},
    {"threads", 't', FIELD(threads), "N", "0", 0, 1024, .commands = COMPUTE_COMMANDS,
     .help = "CPU threads; 0: one for each physical core."},
    {"gpu-memory", 0, BYTES_FIELD(gpu_memory), "BYTES", "0", 0, 0x1p50, .commands = COMPUTE_COMMANDS,
     .help = "How much of the GPU's memory to use; layers that don't fit stay on the CPU. 0: what it has."},
    {"memory", 0, BYTES_FIELD(memory), "BYTES", "0", 0, 0x1p50, .commands = " chat ask plan ",
     .help =
         "How much memory answering may take on all devices together: without --ctx the context, and with it what a question is shown, "
         "becomes as short as fits beside the weights. 0: what the context needs."},
    {"ctx", 'c', FIELD(ctx), "TOKENS", "0", 0, 1 << 24, .commands = DEVICE_COMMANDS,
     .help = "Room for prompt and answer; 0: as much as the model was trained for, but at most 16384."},
    {"cache-type", 0, FIELD(cache_type), "TYPE", "f16", .choices = "f32|f16|q8_0", .commands = DEVICE_COMMANDS,
     .help = "Element type of the KV cache. A sliding cache keeps its keys in f16 when this is q8_0."},
    {"window", 'w', FIELD(window), "TOKENS", "0", 0, 1 << 24, .commands = " read run bench-ppl ",
     .help = "Slide: keep only the last so many tokens, so that memory doesn't grow with the text. 0: keep all."},
    {"sinks", 0, FIELD(sinks), "TOKENS", "4", 0, 1 << 16, .commands = " run bench-ppl ",
     .help = "With --window: how many of the first tokens stay for ever."},
    {"chat-format", 0, FIELD(chat_format), "NAME", "", .commands = ANSWER_COMMANDS,
     .help = "How messages are written for the model, such as chatml; by default as the model file says."},
    {"prompt", 'p', FIELD(prompt), "TEXT", "", .commands = " run ",
     .help = "What to ask; without it, the prompt is read from standard input."},
    {"system", 's', FIELD(system), "TEXT", "", .commands = " run ", .help = "The message that sets the model's role."},
    {"raw", 'r', FIELD(raw), NULL, "no", .commands = ANSWER_COMMANDS,
     .help = "Give the prompt to the model as it is, without chat format."},
    {"max-tokens", 'n', FIELD(max_tokens), "N", "-1", -1, 1 << 24, .commands = ANSWER_COMMANDS,
     .help = "Longest answer in tokens; -1: until the model ends it or the context is full."},
    {"temp", 0, FIELD(temperature), "T", "0", 0, 100, .commands = ANSWER_COMMANDS,
     .help = "Temperature: 0 always takes the most probable token, so that an answer can be repeated; 1 draws as "
             "the model says."},
    {"top-k", 0, FIELD(top_k), "K", "40", 0, 1 << 24, .commands = ANSWER_COMMANDS,
     .help = "Draw from the K most probable tokens; 0: from all."},
    {"top-p", 0, FIELD(top_p), "P", "0.95", 0, 1, .commands = ANSWER_COMMANDS,
     .help = "Draw from the fewest tokens that together have this probability; 1: from all."},
    {"min-p", 0, FIELD(min_p), "P", "0.05", 0, 1, .commands = ANSWER_COMMANDS,
     .help = "Leave out tokens less probable than this share of the most probable one; 0: none."},
    {"repeat-penalty", 0, FIELD(repeat_penalty), "FACTOR", "1", 0.01, 100, .commands = ANSWER_COMMANDS,
     .help = "Make tokens that came lately less probable by this factor; 1: off."},
    {"repeat-last", 0, FIELD(repeat_last), "N", "64", 0, 1 << 24, .commands = ANSWER_COMMANDS,
     .help = "How many tokens count as lately."},
    {"seed", 0, FIELD(seed), "N", "-1", -1, 0x1p63, .commands = ANSWER_COMMANDS "bench-needle bench-time ",
     .help = "Start of the random numbers: the same seed draws the same answer. -1: from the clock."},
    {"stop", 0, FIELD(stop), "TEXT", "", .commands = ANSWER_COMMANDS,
     .help = "End the answer before this text; several are separated by line breaks."},
    {"logprobs", 0, FIELD(logprobs), "K", "0", 0, 1 << 24, .commands = " run ",
     .help =
         "With --json: give the K most probable tokens at each step, with the natural logarithm of their probability."},
    {"json", 0, FIELD(json), NULL, "no",
     .commands =
         " read chat ask add list show plan run inspect tokenize embed devices bench-llm bench-ppl bench-vision bench-needle bench-time ",
     .help =
         "Print JSON instead of text. What ask, chat, read, add, list, show and plan print then is described by a JSON "
         "Schema, share/pagereel/output.schema.json (docs/output.schema.json)."},
    {"special", 0, FIELD(special), NULL, "no", .commands = " tokenize ",
     .help = "Text of control tokens, such as <|im_end|>, becomes those tokens."},
    {"text", 'f', PATH_FIELD(text), "FILE", "", .commands = " bench-ppl ", .help = "The text to read, in UTF-8."},
    {"runs", 0, FIELD(runs), "N", "5", 1, 1000, .commands = " bench-llm bench-vision ",
     .help = "How often to measure; medians are given."},
    {"save-session", 0, PATH_FIELD(session_save), "FILE", "", .commands = " run ",
     .help = "Keep what the model has read and written in a file."},
    {"load-session", 0, PATH_FIELD(session_load), "FILE", "", .commands = " run ",
     .help = "Go on from a file of --save-session; the model and the cache type must be the same."},
    {"fps", 0, FIELD(fps), "RATE", "1", 0.0001, 1000,
     .commands = " read chat ask add plan inspect sheet bench-needle bench-time ",
     .help = "Of a video: how many frames to look at for each second (pairs of frames, for a model that sees pairs)."},
    {"frames", 0, FIELD(frames), "N", "0", 0, 1 << 24, .commands = SEEN_COMMANDS,
     .help = "Of a video: at most N frames, spread evenly over the whole, instead of --fps. 0: by --fps."},
    {"scenes", 0, FIELD(scenes), NULL, "no", .commands = SEEN_COMMANDS,
     .help = "Of a video: the first frame of each scene."},
    {"keys", 0, FIELD(keys), NULL, "no", .commands = SEEN_COMMANDS, .help = "Of a video: every key frame."},
    {"from", 0, FIELD(from), "TIME", "", .commands = RANGE_COMMANDS,
     .help = "Of a video: begin here, such as 0:41:10.5, 41:10 or 90s."},
    {"to", 0, FIELD(to), "TIME", "", .commands = RANGE_COMMANDS, .help = "Of a video: end here."},
    {"pages", 0, FIELD(pages), "RANGE", "", .commands = RANGE_COMMANDS,
     .help = "Of a document: these pages, such as 7 or 3-10."},
    {"stream", 0, FIELD(stream), "N", "-1", -1, 10000, .commands = SOURCE_COMMANDS "frame ",
     .help = "Which of several video streams, by its number in `pagereel inspect`; -1: the best."},
    {"language", 0, FIELD(language), "CODE", "", .commands = SOURCE_COMMANDS,
     .help = "Which text tracks to read, such as en; by default all."},
    {"password", 0, FIELD(password), "TEXT", "", .commands = " read chat ask run add plan inspect sheet frame ",
     .help = "Of an encrypted document. Other users of this machine can see it while pagereel runs; the config "
             "file is safer."},
    {"pixels", 0, FIELD(pixels), "N", "262144", 0, 1 << 26, .commands = " inspect frame ",
     .help = "Scale pictures down to at most N pixels; 0: text only."},
    {"sound", 0, FIELD(sound), NULL, "no", .commands = " inspect ",
     .help = "Read the sound, too, and tell how loud it is, with --units for each second."},
    {"units", 0, FIELD(units), NULL, "no", .commands = " inspect ",
     .help = "Print every frame, page and piece of text as a line of JSON."},
    {"read", 0, FIELD(read), NULL, "no", .commands = " inspect ",
     .help = "Read all of it, and count frames, scenes, pages, lines of text and what can't be read."},
    {"output", 'o', PATH_FIELD(output), "FILE", "", .commands = " sheet frame embed bench-ppl bench-needle bench-time ",
     .help =
         "The file to write: a PNG picture; of embed a NumPy array (.npy), of bench ppl one of each token's log-probability; of bench needle and bench time the folder that gets what was "
         "measured."},
    {"mmproj", 0, PATH_FIELD(mmproj), "FILE", "",
     .commands = " read chat ask add plan run embed bench-vision bench-needle bench-time ",
     .help = "The vision part of the model; by default the mmproj file beside it that fits it."},
    {"image", 'i', PATH_FIELD(image), "FILE", "", .commands = " run ", .list = true,
     .help = "A picture to look at; may be given again. It stands where the prompt says <image>, or else before it."},
    {"video", 0, PATH_FIELD(video), "FILE", "", .commands = " run ", .list = true,
     .help = "A video to look at, in the place of <video>."},
    {"pdf", 0, PATH_FIELD(pdf), "FILE", "", .commands = " run ", .list = true,
     .help = "A document whose pages to look at, in the place of <pdf>."},
    {"image-tokens", 0, FIELD(image_tokens), "N", "0", 0, 1 << 20,
     .commands = " read chat ask add plan run embed bench-vision bench-needle bench-time ",
     .help =
         "Visual tokens of one picture or frame at the most; 0: as the model was made for, but of what is added to the "
         "library 256 of a frame or a page with text, and 1024 of a page without."},
    {"sheet", 0, PATH_FIELD(sheet), "FILE", "", .commands = " show ",
     .help = "Draw what is kept, on its timeline or page by page, as a PNG."},
    {"cap", 0, FIELD(cap), "TOKENS", "0", 0, 0x1p40, .commands = " read chat ask add ",
     .help =
         "Visual tokens that the library keeps of one source at the most: of those that say least some are dropped. "
         "0: no limit."},
    {"side", 0, FIELD(side), "PIXELS", "1024", 16, 4096, .commands = " bench-vision ",
     .help = "The picture that is encoded is so many pixels wide and high."},
    {"keep", 0, FIELD(keep), "SHARE", "0.25", 0.01, 1, .commands = " read chat ask add plan bench-needle bench-time ",
     .help =
         "How much of a film's visual tokens stays in the library at the most, where a picture counts for as long as it "
         "stands; 1: all of them, and every frame."},
    {"row-type", 0, FIELD(row_type), "TYPE", "f16", .choices = "f16|q8_0", .commands = " read chat ask add plan ",
     .help =
         "Element type of visual tokens in the library. q8_0 takes half the disk, and changes what a model says of them by "
         "less than 0.01 nat."},
    {"at", 0, FIELD(at), "TIME", "", .commands = " frame run embed ",
     .help = "Of a video: only the frame that is on the screen at this time."},
    {"page", 0, FIELD(page), "N", "", .commands = " frame ", .help = "The page, counted from 1."},
    {"box", 0, FIELD(box), "X0,Y0,X1,Y1", "", .commands = " frame run embed ",
     .help =
         "Only this part, at its full resolution: points of a page, pixels of a frame, from the upper left corner."},
    {"library", 'l', PATH_FIELD(library), "DIR", "", .commands = LIBRARY_COMMANDS,
     .help = "Where what was added is kept; by default $XDG_DATA_HOME/pagereel or ~/.local/share/pagereel."},
    {"save-evidence", 0, PATH_FIELD(save_evidence), "DIR", "", .commands = " ask ",
     .help =
         "Write what the answer rests on to this folder: frames and clips (with the program ffmpeg), framed parts of pages, and their text."},
    {"few-shot", 0, PATH_FIELD(few_shot), "FILE", "", .commands = " ask chat ",
     .help =
         "Examples that are shown before the question: blocks of `question:`, `answer:` and `image:` lines, separated by "
         "empty lines. Pictures are found beside the file."},
    {"look", 0, FIELD(look), "N", "0", 0, 64, .commands = " ask chat ",
     .help =
         "Look again at the N places that fit the question best, in the source itself and at full resolution, with a quarter "
         "of the budget."},
    {"summary", 0, FIELD(summary), NULL, "no", .commands = " read ",
     .help = "Condense the notes when the reading is done."},
    {"budget", 'b', FIELD(budget), "TOKENS", "0", 0, 1 << 24, .commands = ASK_COMMANDS "bench-needle bench-time ",
     .help = "Tokens that a question may put before the model; 0: as serves a model of its size and fits its context."},
    {"disk", 0, BYTES_FIELD(disk), "BYTES", "0", 0, 0x1p60, .commands = " read chat ask add ",
     .help =
         "How much the library's evidence may take, such as 20G. Of a source that comes to more, visual tokens that "
         "say least are dropped and scenes that are alike become one, never text; what still exceeds it isn't added. "
         "While one source is thinned out it is there twice, so a single one gets up to 4/7 of it. 0: no limit."},
    {"cache-dir", 0, PATH_FIELD(cache_dir), "DIR", "",
     .commands = " read chat ask add plan run embed devices bench-llm bench-ppl bench-vision bench-needle bench-time ",
     .help = "Where compiled GPU programs are kept; by default $XDG_CACHE_HOME/pagereel or ~/.cache/pagereel."},
    {"lose-device-after", 0, FIELD(lose_device_after), "N", "0", 0, 0x1p62, .commands = COMPUTE_COMMANDS,
     .help = "For tests: behave as if the device were lost at its Nth piece of work; 0: never."},
    {"lengths", 0, FIELD(lengths), "LIST", "", .commands = " bench-needle bench-time ",
     .help = "What to search: films of some minutes or hours and documents of some pages, such as 1m,20m,1h,100p."},
    {"haystack", 0, PATH_FIELD(haystack), "FILE", "", .commands = " bench-needle bench-time ",
     .help =
         "Hide the needles in this film or document, over and over until it is long enough, instead of drawn ones."},
    {"needles", 0, FIELD(needles), "N", "0", 0, 1000, .commands = " bench-needle bench-time ",
     .help = "How many questions to ask for each length and depth; 0: 3, with --quick 1."},
    {"quick", 0, FIELD(quick), NULL, "no", .commands = " bench-needle bench-time ",
     .help = "Short films and documents, few depths: minutes instead of hours."},
    {"verbose", 'v', FIELD(verbose), NULL, "no", .commands = "*",
     .help = "Say on standard error where the layers are and how long things take."},
};
enum { N_OPTIONS = sizeof options / sizeof options[0], LONGEST_QUOTE = 60 };

const struct pr_option *pr_options(size_t *n)
{
    *n = N_OPTIONS;
    return options;
}

static size_t field_size(enum pr_option_type type)
{
    switch (type) {
    case PR_OPTION_BOOL:
        return sizeof(bool);
    case PR_OPTION_INT32:
        return sizeof(int32_t);
    case PR_OPTION_INT64:
    case PR_OPTION_BYTES:
        return sizeof(int64_t);
    case PR_OPTION_FLOAT:
        return sizeof(float);
    case PR_OPTION_TEXT:
    case PR_OPTION_PATH:
        break;
    }
    return sizeof(const char *);
}

static bool has_field(const struct pr_settings *settings, const struct pr_option *option)
{
    return option->offset + field_size(option->type) <= settings->size;
}

/* ---- text to values ----------------------------------------------------------------------------------------------- */

static int parse_bool(const char *text, bool *out)
{
    static const char *const no[] = {"no", "false", "off", "0"}, *const yes[] = {"yes", "true", "on", "1"};
    for (int i = 0; i < 4; i++) {
        if (!strcmp(text, no[i]) || !strcmp(text, yes[i])) {
            *out = !strcmp(text, yes[i]);
            return PR_OK;
        }
    }
    return PR_ERR_INVALID;
}

/* Decimal digits with an optional sign; nothing before or behind. */
static int parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits) || digits[strspn(digits, "0123456789")])
        return PR_ERR_INVALID;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return PR_ERR_INVALID;
    *out = value;
    return PR_OK;
}

/* A finite decimal number with '.', whatever the program's locale is. */
static int parse_double(const char *text, double *out)
{
    size_t len = strlen(text);
    if (len == 0 || len != strspn(text, "0123456789.eE+-"))
        return PR_ERR_INVALID;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return PR_ERR_INVALID;
    char *end;
    double value = strtod_l(text, &end, c);
    freelocale(c);
    if (end != text + len || !isfinite(value))
        return PR_ERR_INVALID;
    *out = value;
    return PR_OK;
}

/* "4096", "512M", "1.5G". */
static int parse_bytes(const char *text, int64_t *out)
{
    static const char suffixes[] = "KMGT";
    char number[32];
    size_t len = strlen(text);
    const char *suffix = len > 0 ? strchr(suffixes, toupper((unsigned char)text[len - 1])) : NULL;
    if (!suffix)
        return parse_int(text, out);
    if (len > sizeof number)
        return PR_ERR_INVALID;
    memcpy(number, text, len - 1);
    number[len - 1] = '\0';
    double value;
    if (parse_double(number, &value) < 0)
        return PR_ERR_INVALID;
    value *= ldexp(1, 10 * (int)(suffix - suffixes + 1));
    if (!(value >= -0x1p62 && value <= 0x1p62))
        return PR_ERR_INVALID;
    *out = (int64_t)value;
    return PR_OK;
}

static bool is_choice(const char *choices, const char *text)
{
    for (const char *choice = choices; *choice;) {
        size_t len = strcspn(choice, "|"), name = strcspn(choice, "[|");
        if (!strncmp(text, choice, name)) {
            const char *rest = text + name;
            bool numbered = name < len && rest[0] == ':' && isdigit((unsigned char)rest[1]) && strlen(rest) < 8 &&
                            !rest[1 + strspn(rest + 1, "0123456789")];
            if (!*rest || numbered)
                return true;
        }
        choice += len + (choice[len] == '|');
    }
    return false;
}

/* "takes ..., not 'VALUE'". */
static int wrong_value(const struct pr_option *o, const char *value)
{
    switch (o->type) {
    case PR_OPTION_BOOL:
        return base_fail(PR_ERR_INVALID, "%s takes yes or no, not '%.*s'", o->key, LONGEST_QUOTE, value);
    case PR_OPTION_INT32:
    case PR_OPTION_INT64:
        if (o->max >= 0x1p62)
            return base_fail(PR_ERR_INVALID, "%s takes a whole number, %.0f or more, not '%.*s'", o->key, o->min,
                             LONGEST_QUOTE, value);
        return base_fail(PR_ERR_INVALID, "%s takes a whole number from %.0f to %.0f, not '%.*s'", o->key, o->min,
                         o->max, LONGEST_QUOTE, value);
    case PR_OPTION_BYTES:
        return base_fail(PR_ERR_INVALID, "%s takes a number of bytes, such as 512M or 4G, not '%.*s'", o->key,
                         LONGEST_QUOTE, value);
    case PR_OPTION_FLOAT:
        return base_fail(PR_ERR_INVALID, "%s takes a number from %g to %g, not '%.*s'", o->key, o->min, o->max,
                         LONGEST_QUOTE, value);
    case PR_OPTION_TEXT:
    case PR_OPTION_PATH:
        break;
    }
    return base_fail(PR_ERR_INVALID, "%s takes %s, not '%.*s'", o->key, o->choices ? o->choices : "text", LONGEST_QUOTE,
                     value);
}

static bool in_range(const struct pr_option *option, double value)
{
    return value >= option->min && value <= option->max;
}

static int set_field(const struct pr_option *option, const char *value, void *field)
{
    int64_t whole;
    double real;
    switch (option->type) {
    case PR_OPTION_BOOL:
        return parse_bool(value, field) < 0 ? wrong_value(option, value) : PR_OK;
    case PR_OPTION_INT32:
        if (parse_int(value, &whole) < 0 || !in_range(option, (double)whole))
            return wrong_value(option, value);
        *(int32_t *)field = (int32_t)whole;
        return PR_OK;
    case PR_OPTION_INT64:
    case PR_OPTION_BYTES:
        if ((option->type == PR_OPTION_BYTES ? parse_bytes : parse_int)(value, &whole) < 0 ||
            !in_range(option, (double)whole))
            return wrong_value(option, value);
        *(int64_t *)field = whole;
        return PR_OK;
    case PR_OPTION_FLOAT:
        if (parse_double(value, &real) < 0 || !in_range(option, real))
            return wrong_value(option, value);
        *(float *)field = (float)real;
        return PR_OK;
    case PR_OPTION_TEXT:
    case PR_OPTION_PATH:
        break;
    }
    if (option->choices && !is_choice(option->choices, value))
        return wrong_value(option, value);
    *(const char **)field = value;
    return PR_OK;
}

/* ---- settings ----------------------------------------------------------------------------------------------------- */

void pr_settings_init(struct pr_settings *settings, size_t size)
{
    memset(settings, 0, size);
    settings->size = size;
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (has_field(settings, &options[i]))
            set_field(&options[i], options[i].fallback, (char *)settings + options[i].offset);
}

static bool same_key(const char *key, const char *written)
{
    for (; *key && (*key == *written || (*key == '-' && *written == '_')); key++)
        written++;
    return !*key && !*written;
}

static const struct pr_option *find_option(const char *key)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (same_key(options[i].key, key))
            return &options[i];
    return NULL;
}

static int unknown_key(const char *key)
{
    const char *nearest = NULL;
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (base_is_near(key, options[i].key) &&
            (!nearest || base_edit_distance(key, options[i].key) < base_edit_distance(key, nearest)))
            nearest = options[i].key;
    if (nearest)
        return base_fail(PR_ERR_NOT_FOUND, "there is no option '%.*s'; did you mean '%s'?", LONGEST_QUOTE, key,
                         nearest);
    return base_fail(PR_ERR_NOT_FOUND, "there is no option '%.*s'", LONGEST_QUOTE, key);
}

int pr_settings_set(struct pr_settings *settings, const char *key, const char *value)
{
    const struct pr_option *option = find_option(key);
    if (!option || !has_field(settings, option))
        return unknown_key(key);
    return set_field(option, value, (char *)settings + option->offset);
}

/* Checks a field that a program may have filled by itself. */
static int check_field(const struct pr_option *option, void *field)
{
    char text[64] = "";
    bool good = true;
    switch (option->type) {
    case PR_OPTION_BOOL:
        break;
    case PR_OPTION_INT32:
        good = in_range(option, *(int32_t *)field);
        snprintf(text, sizeof text, "%d", (int)*(int32_t *)field);
        break;
    case PR_OPTION_INT64:
    case PR_OPTION_BYTES:
        good = in_range(option, (double)*(int64_t *)field);
        snprintf(text, sizeof text, "%lld", (long long)*(int64_t *)field);
        break;
    case PR_OPTION_FLOAT:
        good = in_range(option, (double)*(float *)field); /* false for NaN */
        snprintf(text, sizeof text, "%g", (double)*(float *)field);
        break;
    case PR_OPTION_TEXT:
    case PR_OPTION_PATH:
        if (!*(const char **)field)
            *(const char **)field = option->choices ? option->fallback : "";
        if (option->choices && !is_choice(option->choices, *(const char **)field))
            return wrong_value(option, *(const char **)field);
    }
    return good ? PR_OK : wrong_value(option, text);
}

int engine_settings(const struct pr_settings *given, struct pr_settings *out)
{
    pr_settings_init(out, sizeof *out);
    if (!given)
        return PR_OK;
    if (given->size < offsetof(struct pr_settings, device) || given->size > 1 << 16)
        return base_fail(PR_ERR_INVALID, "settings: size is %zu; begin with pr_settings_default()", given->size);
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    out->size = sizeof *out;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        int err = check_field(&options[i], (char *)out + options[i].offset);
        if (err < 0)
            return err;
    }
    return PR_OK;
}

/* ---- the config file ---------------------------------------------------------------------------------------------- */

enum { CONFIG_BYTES = 1 << 20 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char *trim(char *text)
{
    while (is_blank(*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    text[len] = '\0';
    return text;
}

/* A path of a config file as the system takes it: where it is in *kept, the text that stays alive. */
static size_t keep_path(struct base_buf *kept, const char *config, const char *value)
{
    size_t at = kept->len;
    const char *home = getenv("HOME"), *slash = strrchr(config, '/');
    if (!strncmp(value, "~/", 2) && home)
        base_buf_printf(kept, "%s/%s", home, value + 2);
    else if (value[0] && value[0] != '/' && slash)
        base_buf_printf(kept, "%.*s%s", (int)(slash - config + 1), config, value);
    else
        base_buf_puts(kept, value);
    base_buf_append(kept, "", 1);
    return at;
}

struct config_value {
    const struct pr_option *option;
    size_t at;   /* in the kept text */
    size_t line; /* from 1 */
};

/* One line into *value; value->option NULL: nothing on it. */
static int read_line(char *line, const char *path, struct base_buf *kept, struct config_value *value)
{
    for (const char *c = line; *c; c++)
        if (((unsigned char)*c < 0x20 && !is_blank(*c)) || *c == 0x7f)
            return base_fail(PR_ERR_INVALID, "holds a control character; remove it");
    value->option = NULL;
    line = trim(line);
    if (!*line || *line == '#')
        return PR_OK;
    char *equals = strchr(line, '=');
    if (!equals)
        return base_fail(PR_ERR_INVALID, "'%.*s' isn't of the form 'key = value'", LONGEST_QUOTE, line);
    *equals = '\0';
    char *key = trim(line), *text = trim(equals + 1);
    value->option = find_option(key);
    if (!value->option)
        return unknown_key(key);
    if (value->option->type == PR_OPTION_PATH) {
        value->at = keep_path(kept, path, text);
    } else {
        value->at = kept->len;
        base_buf_append(kept, text, strlen(text) + 1);
    }
    return PR_OK;
}

int pr_settings_read(struct pr_settings *settings, const char *path, char **keep)
{
    struct base_buf file = {0}, kept = {0};
    struct config_value *values = NULL;
    size_t n = 0, n_lines = 1, number = 1;
    *keep = NULL;
    int err = base_file_read(path, CONFIG_BYTES, &file);
    if (err < 0)
        return err;
    if (file.len > 0 && memchr(file.data, '\0', file.len)) {
        base_buf_finish(&file);
        return base_fail(PR_ERR_INVALID, "%s: isn't text; a config file holds lines 'key = value'", path);
    }
    for (size_t i = 0; i < file.len; i++)
        n_lines += file.data[i] == '\n';
    values = base_alloc_array(n_lines, sizeof *values);
    for (char *line = file.data; line && err == PR_OK; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        err = read_line(line, path, &kept, &values[n]);
        if (err < 0)
            base_fail_prefix(err, "%s:%zu", path, number);
        values[n].line = number;
        n += err == PR_OK && values[n].option;
        line = end ? end + 1 : NULL;
    }
    /* The kept text doesn't move any more: now fields may point into it. */
    for (size_t i = 0; i < n; i++) {
        const struct pr_option *option = values[i].option;
        if (!has_field(settings, option))
            continue;
        if (set_field(option, kept.data + values[i].at, (char *)settings + option->offset) < 0) {
            err = base_fail_prefix(PR_ERR_INVALID, "%s:%zu", path, values[i].line);
            break;
        }
    }
    *keep = kept.data;
    base_free(values);
    base_buf_finish(&file);
    return err < 0 ? PR_ERR_INVALID : PR_OK;
}

void pr_free(void *memory)
{
    base_free(memory);
}
