/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What of a log's visual tokens stays when it must become smaller. Segments lose their tails (farthest.h). Where even the first tokens of
 * each and what belongs to a segment come to more than half of what is allowed, neighbours that are alike become one segment first: so a
 * log under a cap has room for any length of film, seen the more coarsely the longer it is.
 */
#pragma once

#include "memory/evidence.h"

struct tails_member {
    size_t place;    /* among the log's segments */
    uint32_t tokens; /* of its first, which may be used */
};
struct tails_group { /* one or more neighbours that are one segment from now on */
    size_t first, n_members;
    uint32_t n;      /* tokens that it keeps */
    float *radius;   /* [all that may be used] */
    uint32_t *order; /* [the same] which of the members' tokens, counted through all of them; NULL: as they stand */
};
struct tails {
    struct tails_member *members;
    struct tails_group *groups;
    size_t n_members, n_groups;
    bool smaller; /* something is dropped or merged */
    bool merged;
};

/* Chooses so that the log has no more than `tokens` visual tokens and, written anew, `bytes` bytes (negative: as it is). PR_ERR_NOMEM: that
 * can't be, since something of every page, and text and what else there is, stays; PR_ERR_FORMAT: a segment is damaged. */
int memory_tails_choose(const struct evidence *evidence, int64_t tokens, int64_t bytes, struct tails *out);
void memory_tails_finish(struct tails *tails);
