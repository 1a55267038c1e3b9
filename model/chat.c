/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A family is one row of `formats`; what its template writes in `{% if tools %}` and the like is left out.
 */
#include "model/chat.h"

#include "base/utf8.h"
#include "model/gguf.h"

#include <string.h>

enum system_place { SYSTEM_TURN, SYSTEM_IN_USER, SYSTEM_REFUSED };
enum trim { TRIM_NOTHING, TRIM_ITEMS, TRIM_TURN };

struct turn {
    const char *before, *after;
};

struct chat_format {
    const char *name;
    const char *marks[3];       /* the family's template contains all of them, and the rows above don't fit it */
    const char *bos;            /* begins a conversation */
    const char *default_system; /* NULL: a conversation may begin without a system message */
    struct turn system, user, assistant;
    const char *generation; /* the header of the answer */
    enum system_place system_place;
    enum trim trim;          /* blanks are cut off each text, or off the whole turn */
    bool alternates;         /* user and assistant take turns, the user first */
    bool thinks;             /* <think> ... </think> of earlier answers is left out */
    bool media_first;        /* pictures come before the text of their message */
    const char *before_text; /* after the header, unless a picture follows it */
    const char *after_text, *after_media;
};

#define CHATML                                                                                                         \
    .system = {"<|im_start|>system\n", "<|im_end|>\n"}, .user = {"<|im_start|>user\n", "<|im_end|>\n"},                \
    .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"}
#define CHATML_GENERATION "<|im_start|>assistant\n"
#define LLAMA3_TURN(role)                                                                                              \
    {                                                                                                                  \
        "<|start_header_id|>" role "<|end_header_id|>\n\n", "<|eot_id|>"                                               \
    }
#define LLAMA3_GENERATION "<|start_header_id|>assistant<|end_header_id|>\n\n"
#define VICUNA_SYSTEM                                                                                                  \
    "A chat between a curious user and an artificial intelligence assistant. "                                         \
    "The assistant gives helpful, detailed, and polite answers to the user's questions."

/* Detection takes the first row whose marks fit, so the special come before the general. */
static const struct chat_format formats[] = {
    {.name = "smolvlm",
     .marks = {"<end_of_utterance>"},
     .bos = "<|im_start|>",
     .system = {"System:", "<end_of_utterance>\n"},
     .user = {"User:", "<end_of_utterance>\n"},
     .assistant = {"Assistant:", "<end_of_utterance>\n"},
     .before_text = " ",
     .generation = "Assistant:"},
    {.name = "smollm2",
     .marks = {"<|im_start|>", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
     .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     CHATML,
     .generation = CHATML_GENERATION},
    {.name = "qwen2.5",
     .marks = {"<|im_start|>", "You are Qwen, created by Alibaba Cloud."},
     .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     CHATML,
     .generation = CHATML_GENERATION},
    {.name = "qwen3",
     .marks = {"<|im_start|>", "enable_thinking"},
     .thinks = true,
     CHATML,
     .generation = CHATML_GENERATION},
    {.name = "qwen3-thinking",
     .marks = {"<|im_start|>", "assistant\\n<think>\\n' }}"},
     .thinks = true,
     CHATML,
     .generation = CHATML_GENERATION "<think>\n"},
    {.name = "qwen3-no-think", /* qwen3 with thinking switched off; never detected */
     .thinks = true,
     CHATML,
     .generation = CHATML_GENERATION "<think>\n\n</think>\n\n"},
    {.name = "qwen2",
     .marks = {"<|im_start|>", "You are a helpful assistant."},
     .default_system = "You are a helpful assistant.",
     CHATML,
     .generation = CHATML_GENERATION},
    {.name = "internvl",
     .marks = {"<|im_start|>", "<image>"},
     CHATML,
     .generation = CHATML_GENERATION,
     .after_media = "\n"},
    {.name = "chatml", .marks = {"<|im_start|>"}, CHATML, .generation = CHATML_GENERATION},
    {.name = "llama3.1",
     .marks = {"<|start_header_id|>", "Cutting Knowledge Date: December 2023"},
     .bos = "<|begin_of_text|>",
     .default_system = "",
     /* The date is the one that the template falls back to, so that a prompt doesn't change from day to day. */
     .system = {"<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
                "Today Date: 26 Jul 2024\n\n",
                "<|eot_id|>"},
     .user = LLAMA3_TURN("user"),
     .assistant = LLAMA3_TURN("assistant"),
     .trim = TRIM_ITEMS,
     .generation = LLAMA3_GENERATION},
    {.name = "llama3",
     .marks = {"<|start_header_id|>"},
     .bos = "<|begin_of_text|>",
     .system = LLAMA3_TURN("system"),
     .user = LLAMA3_TURN("user"),
     .assistant = LLAMA3_TURN("assistant"),
     .trim = TRIM_ITEMS,
     .generation = LLAMA3_GENERATION},
    {.name = "gemma",
     .marks = {"<start_of_turn>"},
     .bos = "<bos>",
     .system = {"", "\n\n"},
     .user = {"<start_of_turn>user\n", "<end_of_turn>\n"},
     .assistant = {"<start_of_turn>model\n", "<end_of_turn>\n"},
     .system_place = SYSTEM_IN_USER,
     .alternates = true,
     .trim = TRIM_ITEMS,
     .generation = "<start_of_turn>model\n"},
    {.name = "llama2",
     .marks = {"[INST]", "<<SYS>>"},
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .user = {"<s>[INST] ", " [/INST]"},
     .assistant = {" ", " </s>"},
     .system_place = SYSTEM_IN_USER,
     .alternates = true,
     .trim = TRIM_TURN,
     .generation = ""},
    {.name = "mistral", /* Mistral 7B Instruct v0.1 and v0.2, LLaVA 1.6 */
     .marks = {"[INST] "},
     .bos = "<s>",
     .user = {"[INST] ", " [/INST]"},
     .assistant = {"", "</s>"},
     .system_place = SYSTEM_REFUSED,
     .alternates = true,
     .after_media = "\n",
     .generation = ""},
    {.name = "llava-1.5", /* as Hugging Face renders it */
     .marks = {"ASSISTANT:", ".upper()", "<image>"},
     .system = {"", ""},
     .user = {"USER: ", ""},
     .assistant = {"ASSISTANT: ", ""},
     .media_first = true,
     .after_text = " ",
     .after_media = "\n",
     .generation = "ASSISTANT:"},
    {.name = "vicuna", /* Vicuna 1.1, which LLaVA 1.5 was trained with */
     .marks = {"USER: ", "ASSISTANT:"},
     .bos = "<s>",
     .default_system = VICUNA_SYSTEM,
     .system = {"", " "},
     .user = {"USER: ", " "},
     .assistant = {"ASSISTANT: ", "</s>"},
     .after_media = "\n",
     .generation = "ASSISTANT:"},
};

#define N_FORMATS (sizeof formats / sizeof *formats)

const struct chat_format *model_chat_by_name(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

const char *model_chat_name(const struct chat_format *format)
{
    return format->name;
}

bool model_chat_takes_system(const struct chat_format *format)
{
    return format->system_place != SYSTEM_REFUSED;
}

/* ---- recognising a family ---- */

static bool contains(struct gguf_string text, const char *mark)
{
    return text.len && memmem(text.data, text.len, mark, strlen(mark));
}

static bool fits(const struct chat_format *format, struct gguf_string template)
{
    for (size_t i = 0; i < sizeof format->marks / sizeof *format->marks && format->marks[i]; i++)
        if (!contains(template, format->marks[i]))
            return false;
    return format->marks[0] != NULL;
}

/* LLaVA files are older than templates in GGUF; their names tell. */
static const struct chat_format *by_model_name(const struct gguf *gguf)
{
    struct gguf_string name = {0};
    char lower[128] = {0};
    (void)model_gguf_string(gguf, "general.name", &name);
    for (size_t i = 0; i < name.len && i < sizeof lower - 1; i++)
        lower[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    bool llava = strstr(lower, "llava") != NULL;
    if (llava && strstr(lower, "mistral"))
        return model_chat_by_name("mistral");
    if (strstr(lower, "vicuna") || (llava && strstr(lower, "1.5")))
        return model_chat_by_name("vicuna");
    return NULL;
}

int model_chat_detect(const struct gguf *gguf, const struct chat_format **out)
{
    struct gguf_string template = {0};
    int err = model_gguf_string(gguf, "tokenizer.chat_template", &template);
    if (err == PR_ERR_NOT_FOUND) {
        *out = by_model_name(gguf);
        return PR_OK;
    }
    if (err < 0)
        return err;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (fits(&formats[i], template)) {
            *out = &formats[i];
            return PR_OK;
        }
    struct base_buf names = {0};
    for (size_t i = 0; i < N_FORMATS; i++)
        base_buf_printf(&names, "%s%s", i ? ", " : "", formats[i].name);
    err = base_fail(PR_ERR_UNSUPPORTED,
                    "%s: its chat template is of no family that pagereel knows; use --raw or --chat-format NAME (%s)",
                    model_gguf_path(gguf), names.data);
    base_buf_finish(&names);
    return err;
}

/* ---- pieces ---- */

static struct chat_piece *new_piece(struct chat_pieces *out)
{
    if (out->n == out->cap) {
        out->cap = out->cap ? 2 * out->cap : 16;
        out->pieces = base_realloc(out->pieces, out->cap * sizeof *out->pieces);
    }
    struct chat_piece *piece = &out->pieces[out->n++];
    *piece = (struct chat_piece){0};
    return piece;
}

static void add_text(struct chat_pieces *out, bool ours, const char *text, size_t len)
{
    if (!len)
        return;
    struct chat_piece *last = out->n ? &out->pieces[out->n - 1] : NULL;
    if (!last || !last->text || last->ours != ours)
        last = new_piece(out);
    last->ours = ours;
    last->text = base_realloc(last->text, last->len + len + 1);
    memcpy(last->text + last->len, text, len);
    last->len += len;
    last->text[last->len] = '\0';
}

static void add_ours(struct chat_pieces *out, const char *text)
{
    if (text)
        add_text(out, true, text, strlen(text));
}

static void cut_pieces(struct chat_pieces *out, size_t n)
{
    while (out->n > n)
        base_free(out->pieces[--out->n].text);
}

void model_chat_pieces_finish(struct chat_pieces *out)
{
    cut_pieces(out, 0);
    base_free(out->pieces);
    *out = (struct chat_pieces){0};
}

/* ---- blanks, as Python's str.strip() has them ---- */

static bool is_blank(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static struct gguf_string trim_begin(struct gguf_string text)
{
    uint32_t c;
    for (size_t n; (n = base_utf8_decode(text.data, text.len, &c)) && is_blank(c);) {
        text.data += n;
        text.len -= n;
    }
    return text;
}

static struct gguf_string trim_end(struct gguf_string text)
{
    while (text.len) {
        uint32_t c;
        size_t n = 1;
        while (n < text.len && n < 3 && ((uint8_t)text.data[text.len - n] & 0xc0) == 0x80)
            n++;
        if (base_utf8_decode(text.data + text.len - n, n, &c) != n || !is_blank(c))
            break;
        text.len -= n;
    }
    return text;
}

static struct gguf_string trim_newlines(struct gguf_string text)
{
    while (text.len && text.data[0] == '\n') {
        text.data++;
        text.len--;
    }
    return text;
}

/* Cuts blanks off both ends of pieces[from..): inwards over pieces that vanish, up to the next medium. */
static void trim_pieces(struct chat_pieces *out, size_t from)
{
    for (size_t i = from; i < out->n && out->pieces[i].text; i++) {
        struct chat_piece *piece = &out->pieces[i];
        struct gguf_string rest = trim_begin((struct gguf_string){piece->text, piece->len});
        memmove(piece->text, rest.data, rest.len);
        piece->len = rest.len;
        if (rest.len)
            break;
    }
    for (size_t i = out->n; i > from && out->pieces[i - 1].text; i--) {
        struct chat_piece *piece = &out->pieces[i - 1];
        piece->len = trim_end((struct gguf_string){piece->text, piece->len}).len;
        if (piece->len)
            break;
    }
    size_t n = from;
    for (size_t i = from; i < out->n; i++) {
        struct chat_piece piece = out->pieces[i];
        if (piece.text && !piece.len)
            base_free(piece.text);
        else
            out->pieces[n++] = piece;
        if (piece.text && piece.len)
            piece.text[piece.len] = '\0';
    }
    out->n = n;
}

/* ---- rendering ---- */

/* An answer without its thoughts, or with them set as the template sets those after the last question. */
static void add_answer(struct chat_pieces *out, struct gguf_string text, bool current, bool last)
{
    static const char begin[] = "<think>", end[] = "</think>";
    struct gguf_string thought = {0};
    const char *first_end = memmem(text.data, text.len, end, sizeof end - 1);
    if (first_end) {
        thought = (struct gguf_string){text.data, (size_t)(first_end - text.data)};
        for (const char *at; (at = memmem(thought.data, thought.len, begin, sizeof begin - 1));) {
            at += sizeof begin - 1;
            thought = (struct gguf_string){at, thought.len - (size_t)(at - thought.data)};
        }
        thought = trim_newlines(thought);
        while (thought.len && thought.data[thought.len - 1] == '\n')
            thought.len--;
        for (const char *at = first_end; at; at = memmem(text.data, text.len, end, sizeof end - 1)) {
            at += sizeof end - 1;
            text = (struct gguf_string){at, text.len - (size_t)(at - text.data)};
        }
        text = trim_newlines(text);
    }
    if (current && (last || thought.len)) {
        add_ours(out, "<think>\n");
        add_text(out, false, thought.data, thought.len);
        add_ours(out, "\n</think>\n\n");
        text = trim_newlines(text);
    }
    add_text(out, false, text.data, text.len);
}

enum which { ITEMS_ALL, ITEMS_MEDIA, ITEMS_TEXT };

static void add_items(const struct chat_format *format, const struct chat_message *message, enum which which,
                      struct chat_pieces *out)
{
    for (size_t i = 0; i < message->n_items; i++) {
        const struct chat_item *item = &message->items[i];
        if (which != ITEMS_ALL && (which == ITEMS_TEXT) != (item->text != NULL))
            continue;
        if (!item->text) {
            new_piece(out)->media = item->media;
            add_ours(out, format->after_media);
            continue;
        }
        struct gguf_string text = {item->text, item->len};
        if (format->trim == TRIM_ITEMS)
            text = trim_end(trim_begin(text));
        add_text(out, false, text.data, text.len);
        add_ours(out, format->after_text);
    }
}

static void add_content(const struct chat_format *format, const struct chat_message *message, struct chat_pieces *out)
{
    if (format->media_first) {
        add_items(format, message, ITEMS_MEDIA, out);
        add_items(format, message, ITEMS_TEXT, out);
    } else {
        add_items(format, message, ITEMS_ALL, out);
    }
}

static void add_before_text(const struct chat_format *format, const struct chat_message *message,
                            struct chat_pieces *out)
{
    bool begins_with_picture = message->n_items && !message->items[0].text && !message->items[0].video;
    if (!begins_with_picture)
        add_ours(out, format->before_text);
}

static void add_system(const struct chat_format *format, const struct chat_message *message, struct chat_pieces *out)
{
    add_ours(out, format->system.before);
    if (message) {
        add_before_text(format, message, out);
        add_content(format, message, out);
    } else {
        add_ours(out, format->default_system);
    }
    add_ours(out, format->system.after);
}

/* system: the message to put into this turn, or NULL. */
static void add_turn(const struct chat_format *format, const struct chat_message *message,
                     const struct chat_message *system, bool current, bool last, struct chat_pieces *out)
{
    const struct turn *turn = message->role == CHAT_USER ? &format->user : &format->assistant;
    add_ours(out, turn->before);
    add_before_text(format, message, out);

    struct chat_pieces content = {0};
    if (system)
        add_system(format, system, &content);
    if (format->thinks && message->role == CHAT_ASSISTANT && message->n_items == 1 && message->items[0].text)
        add_answer(&content, (struct gguf_string){message->items[0].text, message->items[0].len}, current, last);
    else
        add_content(format, message, &content);
    if (format->trim == TRIM_TURN)
        trim_pieces(&content, 0);
    for (size_t i = 0; i < content.n; i++)
        if (content.pieces[i].text)
            add_text(out, content.pieces[i].ours, content.pieces[i].text, content.pieces[i].len);
        else
            new_piece(out)->media = content.pieces[i].media;
    model_chat_pieces_finish(&content);
    add_ours(out, turn->after);
}

static int check_roles(const struct chat_format *format, const struct chat_message *messages, size_t n, bool first)
{
    for (size_t i = 0; i < n; i++) {
        if (messages[i].role != CHAT_SYSTEM)
            continue;
        if (i || !first)
            return base_fail(PR_ERR_INVALID,
                             "a system message stands at the beginning of a conversation; move it there");
        if (format->system_place == SYSTEM_REFUSED)
            return base_fail(PR_ERR_INVALID, "the chat format %s has no system message; put it into the first question",
                             format->name);
        if (format->system_place == SYSTEM_IN_USER && (n < 2 || messages[1].role != CHAT_USER))
            return base_fail(PR_ERR_INVALID, "in the chat format %s a user message follows the system message",
                             format->name);
    }
    size_t begin = n && messages[0].role == CHAT_SYSTEM;
    if (format->alternates && first && begin < n && messages[begin].role != CHAT_USER)
        return base_fail(PR_ERR_INVALID, "in the chat format %s the user begins", format->name);
    for (size_t i = begin + 1; i < n && format->alternates; i++)
        if (messages[i].role == messages[i - 1].role)
            return base_fail(PR_ERR_INVALID,
                             "in the chat format %s user and assistant take turns; join messages %zu and %zu",
                             format->name, i, i + 1);
    return PR_OK;
}

int model_chat_render(const struct chat_format *format, const struct chat_message *messages, size_t n, bool first,
                      bool add_generation, struct chat_pieces *out)
{
    int err = check_roles(format, messages, n, first);
    if (err < 0)
        return err;
    const struct chat_message *system = n && messages[0].role == CHAT_SYSTEM ? &messages[0] : NULL;
    size_t question = SIZE_MAX; /* the last one; an answer after it is the current one */
    for (size_t i = 0; i < n; i++)
        if (messages[i].role == CHAT_USER)
            question = i;

    if (first)
        add_ours(out, format->bos);
    if (format->system_place == SYSTEM_TURN && (system || (first && format->default_system)))
        add_system(format, system, out);
    for (size_t i = system ? 1 : 0; i < n; i++) {
        bool takes_system = system && i == 1 && format->system_place == SYSTEM_IN_USER;
        add_turn(format, &messages[i], takes_system ? system : NULL, question != SIZE_MAX && i > question, i + 1 == n,
                 out);
    }
    if (add_generation)
        add_ours(out, format->generation);
    return PR_OK;
}
