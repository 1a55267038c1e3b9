/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A command is one row of the table in main.c and one file: its arguments, its words for --help and the man page, and what it
 * does. Its options are those rows of pr_options() that name it.
 */
#pragma once

#include "base/error.h"
#include "pagereel/model.h"

#include <stddef.h>

struct args {
    struct pr_settings settings; /* defaults, config file, environment, flags: the later wins */
    const char *const *words;    /* [n_words] what isn't an option */
    int n_words;
    struct base_buf *lists; /* [number of options]: the values of flags that were given again, one a line */
};

struct command {
    const char *name;      /* "run", "bench llm" */
    const char *key;       /* "run", "bench-llm": as options name it */
    const char *arguments; /* "[TEXT]"; "": none */
    int min_words, max_words;
    const char *summary;                 /* what it does, in a few words without a full stop */
    const char *text;                    /* paragraphs, separated by "\n\n" */
    const char *examples;                /* command lines, separated by "\n" */
    int (*run)(const struct args *args); /* enum pr_error; PR_ERR_INVALID: wrong usage */
};

/* The table, ended by a row without a name. */
extern const struct command cli_commands[];

int cli_add(const struct args *args);
int cli_ask(const struct args *args);
int cli_chat(const struct args *args);
int cli_embed(const struct args *args);
int cli_devices(const struct args *args);
int cli_frame(const struct args *args);
int cli_inspect(const struct args *args);
int cli_list(const struct args *args);
int cli_plan(const struct args *args);
int cli_read(const struct args *args);
int cli_rm(const struct args *args);
int cli_run(const struct args *args);
int cli_sheet(const struct args *args);
int cli_show(const struct args *args);
int cli_tokenize(const struct args *args);
int cli_bench_llm(const struct args *args);
int cli_bench_ppl(const struct args *args);
int cli_bench_needle(const struct args *args);
int cli_bench_time(const struct args *args);
int cli_bench_vision(const struct args *args);

/* Whether an option is one of the command's. */
bool cli_takes(const struct command *command, const struct pr_option *option);

/* Parses words behind the command's name. *help is set when help was asked for; nothing else is looked at then.
 * `argv` outlives *args. PR_ERR_INVALID: the message says which word. */
int cli_args_parse(const struct command *command, int argc, char **argv, struct args *args, bool *help);
void cli_args_finish(struct args *args);

/* Prints to standard output: the overview, a command's help, the man page of a command (NULL: of the program). */
void cli_help_overview(void);
void cli_help_command(const struct command *command);
void cli_help_man(const struct command *command);
