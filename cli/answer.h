/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How answers are printed.
 */
#pragma once

#include "pagereel/pagereel.h"

struct answer_stream {
    bool json;
    bool line_open; /* the last character printed wasn't a line feed */
    int err;
};
/* For pr_ask() and pr_chat_ask(): prints text as it comes, unless there will be JSON. `user` is a struct answer_stream. */
bool cli_answer_token(void *user, const struct pr_token *token);
/* What follows the text: citations and coverage; or all of it as JSON, which is described in the help of ask. */
int cli_answer_print(const struct pr_settings *settings, const struct pr_answer *answer);
