/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel tokenize: the ids of a text, and what each stands for.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/output.h"

#include <string.h>

/* The bytes of a token as one line: control characters and what isn't UTF-8 as \n, \x1b. */
static void append_visible(struct base_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = base_utf8_decode(text + i, len - i, &c);
        if (n > 0 && c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != '\\')
            base_buf_append(out, text + i, n);
        else if (c == '\n' || c == '\\')
            base_buf_puts(out, c == '\n' ? "\\n" : "\\\\");
        else
            for (size_t k = 0; k < (n ? n : 1); k++)
                base_buf_printf(out, "\\x%02x", (unsigned char)text[i + k]);
        i += n ? n : 1;
    }
}

static int print(const struct pr_model *model, const int32_t *ids, size_t n, bool json)
{
    struct base_buf out = {0};
    if (json)
        base_buf_puts(&out, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = pr_token_bytes(model, ids[i], &len);
        if (json) {
            base_buf_printf(&out, "%s{\"id\":%d,\"text\":", i ? "," : "", (int)ids[i]);
            base_json_text(&out, bytes, len);
            base_buf_puts(&out, "}");
        } else {
            base_buf_printf(&out, "%7d  ", (int)ids[i]);
            append_visible(&out, bytes, len);
            base_buf_puts(&out, "\n");
        }
    }
    if (json)
        base_buf_puts(&out, "]}\n");
    int err = cli_write(out.data ? out.data : "", out.len);
    base_buf_finish(&out);
    return err;
}

int cli_tokenize(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct base_buf input = {0};
    int32_t *ids = NULL;
    size_t n;
    int err;
    cli_cancel();
    if (!settings->model[0])
        return base_fail(PR_ERR_INVALID, "no model; give --model FILE, or set PAGEREEL_MODEL");
    TRY(pr_tokenizer_open(settings->model, &model));
    if (args->n_words > 0)
        base_buf_puts(&input, args->words[0]);
    else
        TRY(cli_read_input("no text; give it as an argument or on standard input", &input));
    TRY(pr_tokenize(model, input.data ? input.data : "", input.len, settings->special, &ids, &n));
    TRY(print(model, ids, n, settings->json));
fail:
    pr_free(ids);
    base_buf_finish(&input);
    pr_model_close(model);
    return err;
}
