/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From the command line, the environment and the config file to settings.
 */
#include "base/mem.h"
#include "base/suggest.h"
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cli_takes(const struct command *command, const struct pr_option *option)
{
    char key[64];
    snprintf(key, sizeof key, " %s ", command->key);
    return !strcmp(option->commands, "*") || strstr(option->commands, key);
}

/* Whether a command has options of its own; the others don't need the config file, so that a wrong one can't stop them. */
static bool has_options(const struct command *command)
{
    size_t n;
    const struct pr_option *options = pr_options(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(options[i].commands, "*") && cli_takes(command, &options[i]))
            return true;
    return false;
}

/* ---- config file and environment ---------------------------------------------------------------------------------- */

/* $XDG_CONFIG_HOME/pagereel/config, or ~/.config/pagereel/config; false when there is neither variable. */
static bool config_path(struct base_buf *path)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && config[0] == '/')
        base_buf_printf(path, "%s/pagereel/config", config);
    else if (home && home[0])
        base_buf_printf(path, "%s/.config/pagereel/config", home);
    return path->len > 0;
}

static int read_config(struct pr_settings *settings)
{
    struct base_buf path = {0};
    if (!config_path(&path))
        return PR_OK;
    static char *keep; /* settings point into it until the program ends */
    int err = pr_settings_read(settings, path.data, &keep);
    base_buf_finish(&path);
    return err == PR_ERR_NOT_FOUND ? PR_OK : err;
}

static int read_environment(struct pr_settings *settings)
{
    static const char *const variables[][2] = {{"PAGEREEL_MODEL", "model"}, {"PAGEREEL_DEVICE", "device"}};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i][0]);
        if (value && *value && pr_settings_set(settings, variables[i][1], value) < 0)
            return base_fail_prefix(PR_ERR_INVALID, "%s", variables[i][0]);
    }
    return PR_OK;
}

/* ---- flags -------------------------------------------------------------------------------------------------------- */

/* What stands before the value of an option: "--cache-type" or "-m". */
struct flag {
    const struct pr_option *option;
    const char *value; /* NULL: none was given with it */
};

static int unknown_flag(const struct command *command, const char *name)
{
    size_t n;
    const struct pr_option *options = pr_options(&n), *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(options[i].key, name))
            return base_fail(PR_ERR_INVALID, "--%s isn't an option of '%s'; see pagereel %s --help", name,
                             command->name, command->name);
        if (cli_takes(command, &options[i]) && base_is_near(name, options[i].key) &&
            (!nearest || base_edit_distance(name, options[i].key) < base_edit_distance(name, nearest->key)))
            nearest = &options[i];
    }
    if (nearest)
        return base_fail(PR_ERR_INVALID, "there is no option --%.60s; did you mean --%s?", name, nearest->key);
    return base_fail(PR_ERR_INVALID, "there is no option --%.60s; see pagereel %s --help", name, command->name);
}

/* "--key", "--key=value", "-k", "-kvalue". */
static int read_flag(const struct command *command, const char *word, struct flag *flag)
{
    size_t n;
    const struct pr_option *options = pr_options(&n);
    *flag = (struct flag){0};
    if (word[1] != '-') {
        for (size_t i = 0; i < n; i++)
            if (options[i].letter && options[i].letter == word[1] && cli_takes(command, &options[i]))
                flag->option = &options[i];
        if (!flag->option)
            return base_fail(PR_ERR_INVALID, "there is no option -%c; see pagereel %s --help", word[1], command->name);
        if (word[2] && flag->option->type == PR_OPTION_BOOL)
            return base_fail(PR_ERR_INVALID, "-%c takes no value, but it has '%.60s'", word[1], word + 2);
        flag->value = word[2] ? word + 2 : NULL;
        return PR_OK;
    }
    char name[64];
    size_t len = strcspn(word + 2, "=");
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), word + 2);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(options[i].key, name) && cli_takes(command, &options[i]))
            flag->option = &options[i];
    if (!flag->option)
        return unknown_flag(command, name);
    flag->value = word[2 + len] == '=' ? word + 3 + len : NULL;
    return PR_OK;
}

static int set_flag(const struct flag *flag, struct args *args)
{
    const char *value = flag->value ? flag->value : "yes";
    if (flag->option->list) {
        size_t n;
        if (!*value || strchr(value, '\n'))
            return base_fail(PR_ERR_INVALID, "--%s takes the name of a file, without line breaks, not '%.60s'",
                             flag->option->key, value);
        struct base_buf *all = &args->lists[flag->option - pr_options(&n)];
        base_buf_printf(all, "%s%s", all->len > 0 ? "\n" : "", value);
        value = all->data;
    }
    if (pr_settings_set(&args->settings, flag->option->key, value) < 0)
        return base_fail_prefix(PR_ERR_INVALID, "--%s", flag->option->key);
    return PR_OK;
}

/* Without a model, what needs one takes that which comes with the program, and says so: it isn't what answers of others are like. */
static void take_default_model(const struct command *command, struct pr_settings *settings)
{
    static const char commands[] = " ask chat read run bench-llm bench-ppl bench-needle bench-time ";
    char key[32];
    snprintf(key, sizeof key, " %.28s ", command->key);
    if (*settings->model || !strstr(commands, key) || !*pr_default_model())
        return;
    settings->model = pr_default_model();
    fprintf(
        stderr,
        "pagereel: no model was given; taking the small one that comes along, which knows drawn things, signs and charts, "
        "and nothing of the world\n");
}

int cli_args_parse(const struct command *command, int argc, char **argv, struct args *args, bool *help)
{
    struct flag *flags = base_alloc_array((size_t)argc, sizeof *flags);
    const char **words = base_alloc_array((size_t)argc, sizeof *words);
    int n_flags = 0, err;
    bool only_words = false;
    size_t n_options;
    pr_options(&n_options);
    *args = (struct args){.settings = pr_settings_default(), .words = words};
    args->lists = base_alloc_array(n_options, sizeof *args->lists);
    *help = false;

    for (int i = 0; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            words[args->n_words++] = argv[i];
        } else if (!strcmp(argv[i], "--")) {
            only_words = true;
        } else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            *help = true;
            base_free(flags);
            return PR_OK;
        } else {
            struct flag *flag = &flags[n_flags++];
            TRY(read_flag(command, argv[i], flag));
            if (flag->option->type == PR_OPTION_BOOL || flag->value)
                continue;
            if (i + 1 == argc) {
                err = base_fail(PR_ERR_INVALID, "--%s needs a value: %s", flag->option->key, flag->option->value);
                goto fail;
            }
            flag->value = argv[++i];
        }
    }
    if (args->n_words < command->min_words || args->n_words > command->max_words) {
        bool more = args->n_words > command->max_words;
        err = base_fail(PR_ERR_INVALID, "'%s' takes %s%s%.60s; see pagereel %s --help", command->name,
                        command->arguments[0] ? command->arguments : "no words", more ? ", not " : "",
                        more ? args->words[command->max_words] : "", command->name);
        goto fail;
    }
    if (has_options(command)) {
        TRY(read_config(&args->settings));
        TRY(read_environment(&args->settings));
    }
    for (int i = 0; i < n_flags; i++)
        TRY(set_flag(&flags[i], args));
    base_free(flags);
    take_default_model(command, &args->settings);
    return PR_OK;

fail:
    base_free(flags);
    cli_args_finish(args);
    return PR_ERR_INVALID;
}

void cli_args_finish(struct args *args)
{
    size_t n;
    pr_options(&n);
    for (size_t i = 0; args->lists && i < n; i++)
        base_buf_finish(&args->lists[i]);
    base_free(args->lists);
    args->lists = NULL;
    base_free((void *)args->words);
    args->words = NULL;
}
