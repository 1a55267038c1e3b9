/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char test_folder[32];

int test_folder_make(void **state)
{
    (void)state;
    strcpy(test_folder, "/tmp/pagereel-test-XXXXXX");
    if (mkdtemp(test_folder))
        return 0;
    test_folder[0] = '\0';
    return -1;
}

int test_folder_remove(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", test_folder);
    test_folder[0] = '\0';
    return system(command);
}

const char *test_file(const char *name)
{
    static char paths[8][160];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}
