/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/arch.h"

#include "base/mem.h"

#include <string.h>

static const struct llm_arch *const archs[] = {
    &llm_arch_llama, &llm_arch_qwen2, &llm_arch_qwen2vl, &llm_arch_qwen3, &llm_arch_qwen3vl,
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

int llm_arch_find(const char *name, const struct llm_arch **out)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (!strcmp(archs[i]->name, name)) {
            *out = archs[i];
            return PR_OK;
        }
    struct base_buf known = {0};
    for (int i = 0; i < N_ARCHS; i++)
        base_buf_printf(&known, "%s%s", i ? ", " : "", archs[i]->name);
    int err = base_fail(PR_ERR_UNSUPPORTED, "the architecture \"%s\" isn't supported; these are: %s", name, known.data);
    base_buf_finish(&known);
    return err;
}
