/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/suggest.h"

#include <string.h>

enum { LONGEST = 40 };

static int min(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, row by row. */
int base_edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return 99;
    int d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            int change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = min(change, 1 + min(d[i - 1][j], d[i][j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

bool base_is_near(const char *a, const char *b)
{
    int letters = (int)strlen(b) / 3;
    int most = letters < 1 ? 1 : min(letters, 3);
    return base_edit_distance(a, b) <= most;
}
