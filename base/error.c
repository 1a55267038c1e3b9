/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

/* Messages may quote file names and metadata: nothing in them may reach a terminal as a control sequence. */
static void make_printable(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = base_utf8_decode(text + i, len - i, &c);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            n = n ? n : 1;
            memset(text + i, '?', n);
        }
        i += n;
    }
}

int base_fail(int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    make_printable(message);
    return error;
}

int base_fail_prefix(int error, const char *format, ...)
{
    char whole[2 * sizeof message];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(whole, sizeof message - 2, format, args);
    va_end(args);
    size_t prefix = n < 0 ? 0 : strlen(whole);
    snprintf(whole + prefix, sizeof whole - prefix, ": %s", message);
    memcpy(message, whole, sizeof message - 1);
    make_printable(message);
    return error;
}

const char *pr_error_message(void)
{
    return message;
}

const char *pr_error_name(int error)
{
    switch ((enum pr_error)error) {
    case PR_OK:
        return "PR_OK";
    case PR_EOF:
        return "PR_EOF";
    case PR_MORE:
        return "PR_MORE";
    case PR_ERR_INVALID:
        return "PR_ERR_INVALID";
    case PR_ERR_NOMEM:
        return "PR_ERR_NOMEM";
    case PR_ERR_IO:
        return "PR_ERR_IO";
    case PR_ERR_FORMAT:
        return "PR_ERR_FORMAT";
    case PR_ERR_UNSUPPORTED:
        return "PR_ERR_UNSUPPORTED";
    case PR_ERR_NOT_FOUND:
        return "PR_ERR_NOT_FOUND";
    case PR_ERR_DEVICE:
        return "PR_ERR_DEVICE";
    case PR_ERR_DEVICE_LOST:
        return "PR_ERR_DEVICE_LOST";
    case PR_ERR_CANCELLED:
        return "PR_ERR_CANCELLED";
    case PR_ERR_INTERNAL:
        return "PR_ERR_INTERNAL";
    }
    return "unknown";
}
