/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/output.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what reaches a terminal -------------------------------------------------------------------------------------- */

enum { LONGEST_SEQUENCE = 256, LONGEST_INPUT = 1 << 28 };

static bool is_harmless(unsigned char c)
{
    return c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* ECMA-48: ESC [ ... final byte; ESC ] (and P, X, ^, _) ... until BEL or ESC \; ESC and one more. */
static int after_escape(unsigned char c)
{
    if (c == '[')
        return FILTER_CSI;
    if (strchr("]PX^_", c) && c)
        return FILTER_STRING;
    return c == 0x1b || (c >= 0x20 && c < 0x30) ? FILTER_ESCAPE : FILTER_TEXT;
}

void cli_filter(struct cli_filter *filter, const char *text, size_t len, struct base_buf *out)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool in_sequence = filter->state != FILTER_TEXT && filter->state != FILTER_C2;
        filter->swallowed = in_sequence ? filter->swallowed + 1 : 0;
        if (in_sequence && (c == '\n' || filter->swallowed > LONGEST_SEQUENCE)) /* lines end all the same */
            filter->state = FILTER_TEXT;
        switch (filter->state) {
        case FILTER_C2: /* 0xc2 0x80 to 0xc2 0x9f: the one-byte forms of ESC @ to ESC _ in UTF-8 */
            filter->state = FILTER_TEXT;
            if (c >= 0x80 && c < 0xa0) {
                filter->state = after_escape(c - 0x40);
                break;
            }
            base_buf_append(out, "\xc2", 1);
            /* fall through */
        case FILTER_TEXT:
            if (c == 0x1b)
                filter->state = FILTER_ESCAPE;
            else if (c == 0xc2)
                filter->state = FILTER_C2;
            else if (is_harmless(c))
                base_buf_append(out, &text[i], 1);
            break;
        case FILTER_ESCAPE:
            filter->state = after_escape(c);
            break;
        case FILTER_CSI:
            if (c == 0x1b)
                filter->state = FILTER_ESCAPE;
            else if (c < 0x20 || c >= 0x40)
                filter->state = FILTER_TEXT;
            break;
        case FILTER_STRING:
            filter->state = c == 0x1b ? FILTER_STRING_ESCAPE : c == 0x07 ? FILTER_TEXT : FILTER_STRING;
            break;
        case FILTER_STRING_ESCAPE:
            filter->state = c == '\\' ? FILTER_TEXT : after_escape(c);
            break;
        }
    }
}

int cli_write(const char *text, size_t len)
{
    static struct cli_filter filter;
    static int is_terminal = -1;
    if (is_terminal < 0)
        is_terminal = isatty(STDOUT_FILENO);
    if (!is_terminal) {
        fwrite(text, 1, len, stdout);
    } else {
        struct base_buf clean = {0};
        cli_filter(&filter, text, len, &clean);
        fwrite(clean.data ? clean.data : "", 1, clean.len, stdout);
        base_buf_finish(&clean);
    }
    return cli_flush();
}

static void write_clean(FILE *file, const char *text, size_t len)
{
    struct base_buf clean = {0};
    cli_filter(&(struct cli_filter){0}, text, len, &clean);
    fwrite(clean.data ? clean.data : "", 1, clean.len, file);
    base_buf_finish(&clean);
}

int cli_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return base_fail(PR_ERR_NOMEM, "no memory for a line of output");
    write_clean(stdout, text, (size_t)len);
    free(text);
    return ferror(stdout) ? cli_flush() : PR_OK;
}

void cli_tell(const char *text)
{
    write_clean(stderr, text, strlen(text));
}

int cli_flush(void)
{
    static int first_errno;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return PR_OK;
    first_errno = first_errno ? first_errno : errno;
    return base_fail(PR_ERR_IO, "standard output can't be written: %s", strerror(first_errno));
}

/* NumPy's format 1.0: magic, length of the header, a Python dictionary padded to 64 bytes, the values (little-endian f32). */
int cli_write_npy(const char *path, const float *values, size_t n, size_t width)
{
    struct base_buf head = {0};
    size_t total = n * (width ? width : 1);
    base_buf_printf(&head, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu,", n);
    if (width)
        base_buf_printf(&head, " %zu", width);
    base_buf_puts(&head, "), }");
    while ((10 + head.len + 1) % 64 != 0)
        base_buf_puts(&head, " ");
    base_buf_puts(&head, "\n");
    const unsigned char magic[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)head.len, (unsigned char)(head.len >> 8)};
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(magic, sizeof magic, 1, file) == 1 && fwrite(head.data, head.len, 1, file) == 1 &&
                   fwrite(values, sizeof *values, total, file) == total;
    written = file && fclose(file) == 0 && written;
    base_buf_finish(&head);
    return written ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
}

/* ---- input -------------------------------------------------------------------------------------------------------- */

int cli_read_input(const char *instead, struct base_buf *out)
{
    if (isatty(STDIN_FILENO))
        return base_fail(PR_ERR_INVALID, "%s", instead);
    int err = base_file_read_stream(stdin, "standard input", LONGEST_INPUT, out);
    return err < 0 && cli_interrupted() ? base_fail(PR_ERR_CANCELLED, "interrupted") : err;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

void cli_json_top(struct base_buf *out, const struct pr_token *token)
{
    base_buf_puts(out, "[");
    for (size_t i = 0; i < token->n_top; i++) {
        base_buf_printf(out, "%s{\"id\":%d,\"logprob\":", i ? "," : "", (int)token->top[i].id);
        base_json_float(out, token->top[i].logprob);
        base_buf_puts(out, "}");
    }
    base_buf_puts(out, "]");
}

void cli_json_ids(struct base_buf *out, const int32_t *ids, size_t n)
{
    base_buf_puts(out, "[");
    for (size_t i = 0; i < n; i++)
        base_buf_printf(out, "%s%d", i ? "," : "", (int)ids[i]);
    base_buf_puts(out, "]");
}

/* ---- interruption ------------------------------------------------------------------------------------------------- */

static struct pr_cancel *cancel;
static volatile sig_atomic_t first_signal;

static void on_signal(int signal)
{
    first_signal = signal;
    pr_cancel_request(cancel);
}

struct pr_cancel *cli_cancel(void)
{
    if (cancel)
        return cancel;
    cancel = pr_cancel_create();
    /* The handler is gone after the first signal, so that the second ends the program; a blocked read returns. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return cancel;
}

int cli_interrupted(void)
{
    return first_signal;
}

void cli_tell_partial(const struct pr_visual_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (runs[i].partial) {
            fprintf(stderr, "pagereel: something of what is shown is damaged or breaks off; what is there was seen\n");
            return;
        }
}

void cli_tell_plan(const char *path, const struct pr_visual_plan *plan)
{
    fprintf(
        stderr,
        "pagereel: %s: %d picture%s as %lld visual tokens; takes at most %.0f MiB beside the program and the model\n",
        path, (int)plan->pictures, plan->pictures == 1 ? "" : "s", (long long)plan->tokens,
        ceil((double)plan->memory / 0x1p20));
}
