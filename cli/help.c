/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Help for the terminal and man pages, both from the command table and the option table.
 */
#include "base/mem.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80 };

static const char exit_status[] =
    "0: done. 1: it failed, and standard error says why. 2: the command line, the environment or the config file "
    "is wrong. 130 and 143: interrupted by Ctrl-C or SIGTERM.";
static const char config_text[] = "Options may be set once and for all in the config file, as lines of the form "
                                  "'key = value' with the names of the long options: 'model = "
                                  "~/models/small.gguf', 'device = vulkan:0', 'json = yes'. Lines that begin with "
                                  "# are comments. A relative path starts at the config file's folder. A flag "
                                  "counts more than the environment, the environment more than the config file.";
static const char *const files[][2] = {
    {"$XDG_CONFIG_HOME/pagereel/config", "the config file; without that variable ~/.config/pagereel/config"},
    {"$XDG_DATA_HOME/pagereel", "the library: what was read of sources; without that variable ~/.local/share/pagereel"},
    {"$XDG_CACHE_HOME/pagereel",
     "compiled GPU programs, which may be deleted; without that variable ~/.cache/pagereel"},
};
static const char *const environment[][2] = {
    {"PAGEREEL_MODEL", "the model, as --model"},
    {"PAGEREEL_DEVICE", "the device, as --device"},
    {"PAGEREEL_CPU",
     "the instructions that the cpu device uses, amx, avx512, avxvnni, avx2 or generic; without it the best "
     "that the processor has"},
};

/* ---- for the terminal --------------------------------------------------------------------------------------------- */

/* Prints words between columns `indent` and WIDTH; the first line begins at `column`. */
static void print_wrapped(const char *text, int indent, int column)
{
    int at = column;
    bool first = true;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (!first && at + 1 + len > WIDTH) {
            printf("\n%*s", indent, "");
            at = indent;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", len, text);
        at += len + !first;
        first = false;
        text += len;
        text += strspn(text, " ");
    }
    printf("\n");
}

static void print_paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        char paragraph[2000];
        snprintf(paragraph, sizeof paragraph, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
        print_wrapped(paragraph, 0, 0);
        text = end ? end + 2 : text + strlen(text);
        if (*text)
            printf("\n");
    }
}

/* What the table knows of a value beyond the help text: "f32|f16|q8_0; default f16". */
static void value_notes(const struct pr_option *o, struct base_buf *out)
{
    if (o->choices)
        base_buf_printf(out, " %s", o->choices);
    if (o->type != PR_OPTION_BOOL && o->fallback[0])
        base_buf_printf(out, "%s default %s", o->choices ? ";" : "", o->fallback);
}

static void print_option(const struct pr_option *o)
{
    struct base_buf text = {0}, notes = {0};
    char head[64];
    snprintf(head, sizeof head, "  %c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? ',' : ' ', o->key, o->value ? " " : "", o->value ? o->value : "");
    value_notes(o, &notes);
    base_buf_puts(&text, o->help);
    if (notes.len > 0)
        base_buf_printf(&text, " [%s]", notes.data + 1);
    printf("%-28s", head);
    int column = (int)strlen(head);
    if (column >= 28) {
        printf("\n%28s", "");
    }
    print_wrapped(text.data, 28, 28);
    base_buf_finish(&text);
    base_buf_finish(&notes);
}

static void print_indented_lines(const char *lines)
{
    while (*lines) {
        int len = (int)strcspn(lines, "\n");
        printf("  %.*s\n", len, lines);
        lines += len + (lines[len] == '\n');
    }
}

void cli_help_overview(void)
{
    printf("usage: pagereel COMMAND [OPTIONS] [ARGUMENTS]\n\n");
    print_wrapped("Answers questions about long video and documents with a vision-language model on this machine.", 0,
                  0);
    printf("\n");
    for (const struct command *command = cli_commands; command->name; command++)
        printf("  %-12s %s\n", command->name, command->summary);
    printf("\n");
    print_wrapped(
        "Each has options of its own: pagereel COMMAND --help. pagereel --version says what it was built with.", 0, 0);
    printf("\n");
    print_wrapped(config_text, 0, 0);
    printf("\n");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        printf("  %s\n      %s\n", files[i][0], files[i][1]);
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++)
        printf("  %-17s %s\n", environment[i][0], environment[i][1]);
    printf("\nexit status\n  ");
    print_wrapped(exit_status, 2, 2);
}

void cli_help_command(const struct command *command)
{
    size_t n;
    const struct pr_option *options = pr_options(&n);
    printf("usage: pagereel %s [OPTIONS]%s%s\n\n", command->name, command->arguments[0] ? " " : "", command->arguments);
    print_paragraphs(command->text);
    printf("\noptions\n");
    for (size_t i = 0; i < n; i++)
        if (cli_takes(command, &options[i]))
            print_option(&options[i]);
    printf("  -h, --help                Print this.\n");
    printf("\nexamples\n");
    print_indented_lines(command->examples);
}

/* ---- man pages (man-pages(7), groff_man(7)) ----------------------------------------------------------------------- */

/* Text with everything escaped that roff would read as its own. */
static void man_text(const char *text)
{
    for (bool line_start = true; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            printf("\\&");
        line_start = *text == '\n';
        if (*text == '-')
            printf("\\-");
        else if (*text == '\\')
            printf("\\e");
        else if (*text == '\'')
            printf("\\(aq");
        else if (*text == '^')
            printf("\\(ha");
        else if (*text == '~')
            printf("\\(ti");
        else
            putchar(*text);
    }
}

static void man_paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        char paragraph[2000];
        snprintf(paragraph, sizeof paragraph, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
        man_text(paragraph);
        text = end ? end + 2 : text + strlen(text);
        printf("\n%s", *text ? ".PP\n" : "");
    }
}

/* A row of a list: the term in bold. */
static void man_item(const char *term, const char *text)
{
    printf(".TP\n.B ");
    man_text(term);
    printf("\n");
    man_text(text);
    printf("\n");
}

static void man_option(const struct pr_option *o)
{
    struct base_buf notes = {0};
    printf(".TP\n");
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    man_text(o->key);
    printf("\\fR");
    if (o->value)
        printf(" \\fI%s\\fR", o->value);
    printf("\n");
    man_text(o->help);
    value_notes(o, &notes);
    if (notes.len > 0) {
        printf("\n[");
        man_text(notes.data + 1);
        printf("]");
    }
    printf("\n");
    base_buf_finish(&notes);
}

static void man_example(const char *lines)
{
    printf(".nf\n");
    while (*lines) {
        char line[400];
        int len = (int)strcspn(lines, "\n");
        snprintf(line, sizeof line, "%.*s", len, lines);
        man_text(line);
        printf("\n");
        lines += len + (lines[len] == '\n');
    }
    printf(".fi\n");
}

static void man_program(void)
{
    printf(".TH PAGEREEL 1 \"\" \"pagereel %s\" \"User Commands\"\n", pr_version());
    printf(".SH NAME\npagereel \\- answers questions about long video and documents\n");
    printf(".SH SYNOPSIS\n.B pagereel\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n");
    printf(".SH DESCRIPTION\n");
    man_text("Runs a vision-language model (a GGUF file) on this machine, on a GPU through Vulkan or on the CPU.");
    printf("\n.SH COMMANDS\n");
    for (const struct command *command = cli_commands; command->name; command++)
        man_item(command->name, command->summary);
    printf(".SH CONFIGURATION\n");
    man_paragraphs(config_text);
    printf(".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++)
        man_item(environment[i][0], environment[i][1]);
    printf(".SH FILES\n");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        man_item(files[i][0], files[i][1]);
    printf(".SH EXIT STATUS\n");
    man_paragraphs(exit_status);
    printf(".SH SEE ALSO\n");
    const char *separator = "";
    for (const struct command *command = cli_commands; command->name; command++) {
        printf("%s.BR pagereel\\-", separator);
        man_text(command->key);
        printf(" (1)");
        separator = ",\n";
    }
    printf("\n");
}

void cli_help_man(const struct command *command)
{
    if (!command) {
        man_program();
        return;
    }
    size_t n;
    const struct pr_option *options = pr_options(&n);
    printf(".TH PAGEREEL\\-");
    for (const char *c = command->key; *c; c++)
        printf(*c == '-' ? "\\-" : "%c", *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf(" 1 \"\" \"pagereel %s\" \"User Commands\"\n.SH NAME\npagereel\\-", pr_version());
    man_text(command->key);
    printf(" \\- ");
    man_text(command->summary);
    printf("\n.SH SYNOPSIS\n.B pagereel ");
    man_text(command->name);
    printf("\n[\\fIOPTIONS\\fR] ");
    man_text(command->arguments);
    printf("\n.SH DESCRIPTION\n");
    man_paragraphs(command->text);
    printf(".SH OPTIONS\n");
    for (size_t i = 0; i < n; i++)
        if (cli_takes(command, &options[i]))
            man_option(&options[i]);
    man_item("-h, --help", "Print a summary of these options.");
    printf(".SH EXAMPLES\n");
    man_example(command->examples);
    printf(".SH SEE ALSO\n.BR pagereel (1)\n");
}
