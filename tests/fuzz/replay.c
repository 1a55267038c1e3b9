/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a fuzz target over files without libFuzzer, with any compiler: `target FILE-OR-FOLDER...`. The suite does this with
 * the corpus in tests/fuzz/corpus/NAME, so that what fuzzing once found stays found.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = 0, cap = 1 << 16;
    uint8_t *data = malloc(cap);
    for (size_t n; data && (n = fread(data + size, 1, cap - size, file)) > 0;) {
        size += n;
        if (size == cap)
            data = realloc(data, cap *= 2);
    }
    fclose(file);
    if (!data)
        return 1;
    /* An exact block, so that a sanitizer sees the first byte past the end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact && size)
        memcpy(exact, data, size);
    free(data);
    if (!exact)
        return 1;
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0, n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            failed |= replay_file(argv[i]);
            n++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed |= replay_file(path);
            n++;
        }
        closedir(dir);
    }
    printf("%d files\n", n);
    return failed || n == 0;
}
