/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pagereel/model.h"

#include <stdio.h>

int main(void)
{
    printf("pagereel %s\n%s\n", pr_version(), pr_build_info());
    return 0;
}
