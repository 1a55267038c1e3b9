/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/chat.h"

#include "tests/support/gguf_writer.h"
#include "tests/support/golden_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

static int detect(const char *template, const char *name, const struct chat_format **out)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    struct gguf *gguf;
    if (template)
        gguf_writer_string(&w, "tokenizer.chat_template", template);
    if (name)
        gguf_writer_string(&w, "general.name", name);
    gguf_writer_header(&w, &bytes);
    gguf_writer_finish(&w);
    check(model_gguf_open_memory(bytes.data, bytes.len, "chat.gguf", &gguf));
    int err = model_chat_detect(gguf, out);
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
    return err;
}

/* ---- conversations ---- */

enum { MAX_MESSAGES = 32, MAX_ITEMS = 8 };

struct conversation {
    struct chat_message messages[MAX_MESSAGES];
    struct chat_item items[MAX_MESSAGES][MAX_ITEMS];
    size_t n;
    const char *media[MAX_ITEMS]; /* what stands for medium i in the golden's text */
    int n_media;
};

static void add_item(struct conversation *c, const char *text, const char *medium)
{
    struct chat_message *message = &c->messages[c->n - 1];
    assert_true(message->n_items < MAX_ITEMS && c->n_media < MAX_ITEMS);
    struct chat_item *item = &c->items[c->n - 1][message->n_items++];
    *item = text ? (struct chat_item){.text = text, .len = strlen(text)}
                 : (struct chat_item){.media = c->n_media, .video = medium && strstr(medium, "video")};
    if (!text)
        c->media[c->n_media++] = medium;
    message->items = c->items[c->n - 1];
}

static void add_message(struct conversation *c, const char *role)
{
    assert_true(c->n < MAX_MESSAGES);
    c->messages[c->n++] = (struct chat_message){.role = !strcmp(role, "system") ? CHAT_SYSTEM
                                                        : !strcmp(role, "user") ? CHAT_USER
                                                                                : CHAT_ASSISTANT};
}

static void read_conversation(const cJSON *messages, const cJSON *media, struct conversation *c)
{
    *c = (struct conversation){0};
    for (const cJSON *message = messages->child; message; message = message->next) {
        const cJSON *content = golden_get(message, "content");
        add_message(c, golden_text(message, "role"));
        if (cJSON_IsString(content))
            add_item(c, content->valuestring, NULL);
        else
            for (const cJSON *item = content->child; item; item = item->next) {
                const char *type = golden_text(item, "type");
                if (!strcmp(type, "text"))
                    add_item(c, golden_text(item, "text"), NULL);
                else
                    add_item(c, NULL, golden_text(media, type));
            }
    }
}

/* The text of the pieces, with the golden's words for media. Fails if a piece isn't what the header promises. */
static struct base_buf join(const struct chat_pieces *pieces, const struct conversation *c)
{
    struct base_buf text = {0};
    base_buf_puts(&text, "");
    for (size_t i = 0; i < pieces->n; i++) {
        const struct chat_piece *piece = &pieces->pieces[i];
        if (!piece->text) {
            assert_in_range(piece->media, 0, c->n_media - 1);
            const char *medium = c->media[piece->media];
            base_buf_append(&text, medium, strcspn(medium, "\n")); /* a newline after it is the format's */
            continue;
        }
        assert_true(piece->len > 0);
        assert_int_equal(piece->text[piece->len], 0);
        if (i && pieces->pieces[i - 1].text)
            assert_int_not_equal(piece->ours, pieces->pieces[i - 1].ours);
        base_buf_append(&text, piece->text, piece->len);
    }
    return text;
}

/* Nothing that the user wrote may be in a piece of ours, or the other way round: the user's pieces, joined, are the items of
 * the conversation without their blanks at the ends (which some formats cut). */
static void assert_nothing_forged(const struct chat_pieces *pieces, const struct conversation *c)
{
    static const char *const controls[] = {
        "<|im_", "[INST]", "<|eot_id|>", "USER:", "ASSISTANT:", "</s>", "<end_of_utterance>"};
    for (size_t k = 0; k < sizeof controls / sizeof *controls; k++) {
        size_t theirs = 0, in_items = 0;
        for (size_t i = 0; i < pieces->n; i++)
            if (pieces->pieces[i].text && !pieces->pieces[i].ours)
                for (const char *at = pieces->pieces[i].text; (at = strstr(at, controls[k])); at++)
                    theirs++;
        for (size_t m = 0; m < c->n; m++)
            for (size_t i = 0; i < c->messages[m].n_items; i++)
                for (const char *at = c->items[m][i].text; at && (at = strstr(at, controls[k])); at++)
                    in_items++;
        assert_int_equal(theirs, in_items);
    }
}

static void check_case(const struct chat_format *format, const cJSON *golden, const cJSON *one)
{
    struct conversation c;
    struct chat_pieces pieces = {0};
    const cJSON *rendered = golden_get(one, "rendered");
    read_conversation(golden_get(one, "messages"), golden_get(golden, "media"), &c);
    int err = model_chat_render(format, c.messages, c.n, true, cJSON_IsTrue(golden_get(one, "add_generation_prompt")),
                                &pieces);
    if (cJSON_IsNull(rendered)) {
        assert_int_equal(err, PR_ERR_INVALID);
        assert_int_equal(pieces.n, 0);
    } else {
        check(err);
        struct base_buf text = join(&pieces, &c);
        assert_string_equal(text.data, rendered->valuestring);
        base_buf_finish(&text);
        assert_nothing_forged(&pieces, &c);
    }
    model_chat_pieces_finish(&pieces);
}

static void formats_render_as_the_templates_do(void **state)
{
    (void)state;
    static const struct {
        const char *golden, *format;
    } families[] = {
        {"chatml", "smollm2"},  {"qwen2", "qwen2"},    {"qwen2.5", "qwen2.5"},   {"qwen3", "qwen3"},
        {"qwen2vl", "qwen2"},   {"qwen3vl", "chatml"}, {"smolvlm", "smolvlm"},   {"llama2", "llama2"},
        {"mistral", "mistral"}, {"llama3", "llama3"},  {"llama3.2", "llama3.1"}, {"llava-1.5", "llava-1.5"},
        {"vicuna", "vicuna"},
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        char path[256];
        const struct chat_format *format;
        snprintf(path, sizeof path, "tests/golden/chat/%s.json", families[f].golden);
        cJSON *golden = golden_json(path);
        check(detect(golden_text(golden, "template"), NULL, &format));
        assert_string_equal(model_chat_name(format), families[f].format);
        int n = 0;
        for (const cJSON *one = golden_get(golden, "cases")->child; one; one = one->next, n++) {
            const cJSON *thinking = cJSON_GetObjectItemCaseSensitive(one, "enable_thinking");
            check_case(cJSON_IsFalse(thinking) ? model_chat_by_name("qwen3-no-think") : format, golden, one);
        }
        assert_true(n > 10);
        cJSON_Delete(golden);
    }
}

/* Families that have no golden: what MODEL.md and the models' cards say. */
static void other_formats(void **state)
{
    (void)state;
    struct conversation c = {0};
    add_message(&c, "system");
    add_item(&c, " Be brief. ", NULL);
    add_message(&c, "user");
    add_item(&c, NULL, "{0}");
    add_item(&c, " Who?\n", NULL);
    add_message(&c, "assistant");
    add_item(&c, "Ann.", NULL);
    add_message(&c, "user");
    add_item(&c, "Where?", NULL);
    static const struct {
        const char *format, *text;
    } expected[] = {
        {"gemma",
         "<bos><start_of_turn>user\nBe brief.\n\n{0}Who?<end_of_turn>\n<start_of_turn>model\nAnn.<end_of_turn>\n"
         "<start_of_turn>user\nWhere?<end_of_turn>\n<start_of_turn>model\n"},
        {"internvl",
         "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n{0}\n Who?\n<|im_end|>\n"
         "<|im_start|>assistant\nAnn.<|im_end|>\n<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n"},
        {"qwen3-thinking", "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n{0} Who?\n<|im_end|>\n"
                           "<|im_start|>assistant\nAnn.<|im_end|>\n<|im_start|>user\nWhere?<|im_end|>\n"
                           "<|im_start|>assistant\n<think>\n"},
        {"vicuna", "<s> Be brief.  USER: {0}\n Who?\n ASSISTANT: Ann.</s>USER: Where? ASSISTANT:"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct chat_pieces pieces = {0};
        const struct chat_format *format = model_chat_by_name(expected[i].format);
        assert_non_null(format);
        check(model_chat_render(format, c.messages, c.n, true, true, &pieces));
        struct base_buf text = join(&pieces, &c);
        assert_string_equal(text.data, expected[i].text);
        base_buf_finish(&text);
        model_chat_pieces_finish(&pieces);
    }
}

static void conversations_can_go_on(void **state)
{
    (void)state;
    struct conversation c = {0};
    struct chat_pieces whole = {0}, parts = {0};
    for (int i = 0; i < 3; i++) {
        add_message(&c, i % 2 ? "assistant" : "user");
        add_item(&c, "text", NULL);
    }
    static const char *const names[] = {"smolvlm", "smollm2", "qwen2",   "chatml", "llama3.1",
                                        "gemma",   "llama2",  "mistral", "vicuna"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct chat_format *format = model_chat_by_name(names[i]);
        check(model_chat_render(format, c.messages, 3, true, true, &whole));
        check(model_chat_render(format, c.messages, 2, true, false, &parts));
        check(model_chat_render(format, c.messages + 2, 1, false, true, &parts));
        struct base_buf a = join(&whole, &c), b = join(&parts, &c);
        assert_string_equal(a.data, b.data);
        base_buf_finish(&a);
        base_buf_finish(&b);
        model_chat_pieces_finish(&whole);
        model_chat_pieces_finish(&parts);
    }
}

static void trimming_goes_over_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *system, *user, *text;
    } cases[] = {
        {NULL, "\xc2\xa0\xe3\x80\x80 x \xe2\x80\x83\x1c", "<s>[INST] x [/INST]"},
        {NULL, "\xff x \xff", "<s>[INST] \xff x \xff [/INST]"}, /* stray bytes are no blanks */
        {NULL, " \n ", "<s>[INST]  [/INST]"},
        {" s ", " \n ", "<s>[INST] <<SYS>>\n s \n<</SYS>> [/INST]"},
        {" s ", " \n y", "<s>[INST] <<SYS>>\n s \n<</SYS>>\n\n \n y [/INST]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conversation c = {0};
        struct chat_pieces pieces = {0};
        if (cases[i].system) {
            add_message(&c, "system");
            add_item(&c, cases[i].system, NULL);
        }
        add_message(&c, "user");
        add_item(&c, cases[i].user, NULL);
        check(model_chat_render(model_chat_by_name("llama2"), c.messages, c.n, true, true, &pieces));
        struct base_buf text = join(&pieces, &c);
        assert_string_equal(text.data, cases[i].text);
        base_buf_finish(&text);
        model_chat_pieces_finish(&pieces);
    }
}

static void roles_out_of_order(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        bool first;
        const char *roles[4];
        const char *words;
    } cases[] = {
        {"chatml", true, {"user", "system"}, "stands at the beginning"},
        {"chatml", false, {"system"}, "stands at the beginning"},
        {"llama2", true, {"system"}, "a user message follows"},
        {"gemma", true, {"system", "assistant"}, "a user message follows"},
        {"mistral", true, {"system", "user"}, "has no system message"},
        {"mistral", true, {"assistant"}, "the user begins"},
        {"llama2", true, {"user", "assistant", "assistant"}, "messages 2 and 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conversation c = {0};
        struct chat_pieces pieces = {0};
        for (int k = 0; k < 4 && cases[i].roles[k]; k++) {
            add_message(&c, cases[i].roles[k]);
            add_item(&c, "x", NULL);
        }
        const struct chat_format *format = model_chat_by_name(cases[i].format);
        assert_int_equal(model_chat_render(format, c.messages, c.n, cases[i].first, true, &pieces), PR_ERR_INVALID);
        assert_non_null(strstr(pr_error_message(), cases[i].words));
        assert_int_equal(pieces.n, 0);
        model_chat_pieces_finish(&pieces);
    }
    assert_true(model_chat_takes_system(model_chat_by_name("chatml")));
    assert_true(model_chat_takes_system(model_chat_by_name("gemma")));
    assert_false(model_chat_takes_system(model_chat_by_name("mistral")));
}

static void detection(void **state)
{
    (void)state;
    const struct chat_format *format;
    static const struct {
        const char *template, *name, *format;
    } cases[] = {
        {NULL, NULL, NULL},
        {NULL, "SmolLM2 135M", NULL},
        {NULL, "LLaVA-v1.5-7B", "vicuna"},
        {NULL, "llava-v1.6-Mistral-7b", "mistral"},
        {NULL, "Vicuna 7B", "vicuna"},
        {"{{ '<|im_start|>assistant\\n<think>\\n' }}", NULL, "qwen3-thinking"},
        {"{{ '<start_of_turn>' + role }}", NULL, "gemma"},
        {"'<|im_start|>' ... '<image>\\n'", NULL, "internvl"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(detect(cases[i].template, cases[i].name, &format));
        if (cases[i].format)
            assert_string_equal(model_chat_name(format), cases[i].format);
        else
            assert_null(format);
    }
    assert_int_equal(detect("### Instruction:", NULL, &format), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "chat.gguf: "));
    assert_non_null(strstr(pr_error_message(), "--chat-format NAME (smolvlm, "));
    assert_int_equal(detect("", NULL, &format), PR_ERR_UNSUPPORTED);
    assert_null(model_chat_by_name("no-such"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_render_as_the_templates_do),
        cmocka_unit_test(other_formats),
        cmocka_unit_test(conversations_can_go_on),
        cmocka_unit_test(trimming_goes_over_pieces),
        cmocka_unit_test(roles_out_of_order),
        cmocka_unit_test(detection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
