/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/version.h"

#include "pagereel/model.h"

const char *pr_version(void)
{
    return ENGINE_VERSION;
}

const char *pr_build_info(void)
{
    return ENGINE_BUILD_INFO;
}
