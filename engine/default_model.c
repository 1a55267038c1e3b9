/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the model lies that comes with the program: installed in share/pagereel/models, or in models/ of the source tree that the program was
 * built in.
 */
#include "pagereel/model.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "pagereel-tiny.gguf"

const char *pr_default_model(void)
{
    static char path[PATH_MAX + 64]; /* the same for all callers, whoever writes it last */
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    snprintf(path, sizeof path, "%s/../share/pagereel/models/" NAME, self);
    if (slash && access(path, R_OK) == 0)
        return path;
    size_t end = strlen(self);
    snprintf(path, sizeof path, "%s/../../models/" NAME, self);
    if (end > 4 && !strcmp(self + end - 4, "/cli") && access(path, R_OK) == 0) /* build/cli */
        return path;
    snprintf(path, sizeof path, "%s", PAGEREEL_MODELS "/" NAME);
    return access(path, R_OK) == 0 ? path : "";
}
