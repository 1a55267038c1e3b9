/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/encoding.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>

enum { ENOUGH = 1024 }; /* patches that keep any device busy */

struct batch {
    const struct vision_layout *layout;
    int32_t first, n;
    const uint8_t *rgb;
    float *rows;
};

struct engine_encoding {
    struct engine_vision *vision;
    const struct base_cancel *cancel;
    pthread_t thread;
    bool has_thread; /* without one (none can be had) batches are encoded where they are started */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch batch; /* n 0: none */
    bool ending;
    bool busy;
    int result;
    char message[1024]; /* of a failure: messages belong to threads */
};

static void encode(struct engine_encoding *e)
{
    const struct batch *b = &e->batch;
    e->result = vision_encode(e->vision->encoder, b->layout, b->first, b->n, b->rgb, b->rows, e->cancel);
    if (e->result < 0)
        snprintf(e->message, sizeof e->message, "%s", pr_error_message());
    else
        e->vision->encoded += b->n;
}

static void *run(void *user)
{
    struct engine_encoding *e = user;
    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (!e->busy && !e->ending)
            pthread_cond_wait(&e->changed, &e->lock);
        if (!e->busy)
            break;
        pthread_mutex_unlock(&e->lock);
        encode(e);
        pthread_mutex_lock(&e->lock);
        e->busy = false;
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

struct engine_encoding *engine_encoding_create(struct engine_vision *vision, const struct base_cancel *cancel)
{
    struct engine_encoding *e = base_alloc(sizeof *e);
    e->vision = vision;
    e->cancel = cancel;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->has_thread = pthread_create(&e->thread, NULL, run, e) == 0;
    return e;
}

void engine_encoding_destroy(struct engine_encoding *e)
{
    if (!e)
        return;
    if (e->has_thread) {
        pthread_mutex_lock(&e->lock);
        e->ending = true;
        pthread_cond_broadcast(&e->changed);
        pthread_mutex_unlock(&e->lock);
        pthread_join(e->thread, NULL);
    }
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
    base_free(e);
}

int32_t engine_encoding_batch(const struct vision_layout *layout)
{
    const struct vision_crop *crop = &layout->crops[0];
    int32_t patch = layout->params->patch, patches = (crop->width / patch) * (crop->height / patch);
    int32_t n = patches > 0 ? ENOUGH / patches : 1;
    n = n < 1 ? 1 : n > ENGINE_BATCH ? ENGINE_BATCH : n;
    return n < layout->n_crops ? n : layout->n_crops;
}

int engine_encoding_wait(struct engine_encoding *e)
{
    pthread_mutex_lock(&e->lock);
    while (e->busy)
        pthread_cond_wait(&e->changed, &e->lock);
    int result = e->result;
    e->result = PR_OK;
    pthread_mutex_unlock(&e->lock);
    return result < 0 ? base_fail(result, "%s", e->message) : PR_OK;
}

int engine_encoding_start(struct engine_encoding *e, const struct vision_layout *layout, int32_t first, int32_t n,
                          const uint8_t *rgb, float *rows)
{
    int err = engine_encoding_wait(e);
    if (err < 0)
        return err;
    e->batch = (struct batch){layout, first, n, rgb, rows};
    if (!e->has_thread) {
        encode(e);
        return PR_OK;
    }
    pthread_mutex_lock(&e->lock);
    e->busy = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return PR_OK;
}
