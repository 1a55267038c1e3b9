/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takes the bytes behind the first as a message of a worker: unit, description, error or options by the first. What is
 * accepted lies inside the bytes and says the same when it is written and read again.
 */
#include "tests/fuzz/fuzz.h"

#include "ingest/wire.h"

#include <stdlib.h>
#include <string.h>

static volatile size_t sink;

static void read_text(const char *text)
{
    sink += strlen(text);
}

static struct wire_writer writer_for(size_t size)
{
    /* Canonical numbers are no longer than those read. */
    return (struct wire_writer){malloc(size + 1), size + 1, 0, false};
}

static void take_unit(const char *data, size_t size)
{
    struct wire_arena arena = {0};
    struct pr_unit unit;
    if (ingest_wire_get_unit(data, size, &arena, &unit) == PR_OK) {
        read_text(unit.label);
        for (size_t i = 0; i < unit.n_lines; i++)
            read_text(unit.lines[i].text);
        for (size_t i = 0; i < unit.n_regions; i++)
            read_text(unit.regions[i].text);
        for (size_t i = 0; i < unit.n_samples; i++)
            sink += unit.samples[i] > 0;
        if (unit.rgb)
            sink += unit.rgb[(size_t)unit.picture_width * (size_t)unit.picture_height * 3 - 1];
        struct wire_writer writer = writer_for(size);
        ingest_wire_put_unit(&writer, &unit);
        if (writer.overflow || writer.len != size)
            abort();
        free(writer.data);
    }
    ingest_wire_arena_reset(&arena);
}

static void take_info(const char *data, size_t size)
{
    struct wire_arena arena = {0};
    struct pr_source_info info;
    if (ingest_wire_get_info(data, size, &arena, &info) == PR_OK) {
        read_text(info.kind);
        read_text(info.format);
        read_text(info.title);
        for (size_t i = 0; i < info.n_streams; i++) {
            read_text(info.streams[i].codec);
            read_text(info.streams[i].language);
            read_text(info.streams[i].title);
            read_text(info.streams[i].file);
        }
        for (size_t i = 0; i < info.n_marks; i++)
            read_text(info.marks[i].title);
        for (size_t i = 0; i < info.n_problems; i++)
            read_text(info.problems[i]);
        struct wire_writer writer = writer_for(size);
        ingest_wire_put_info(&writer, &info);
        if (writer.overflow || writer.len != size)
            abort();
        free(writer.data);
    }
    ingest_wire_arena_reset(&arena);
}

static void take_error(const char *data, size_t size)
{
    int error;
    const char *text;
    if (ingest_wire_get_error(data, size, &error, &text) == PR_OK) {
        if (error >= 0)
            abort();
        read_text(text);
    }
}

static void take_options(const char *data, size_t size)
{
    struct ingest_options options;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    ingest_wire_get_options(text, &options);
    base_free((void *)options.times);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const take[])(const char *, size_t) = {take_unit, take_info, take_error, take_options};
    if (size == 0)
        return 0;
    char *message = malloc(size); /* aligned, and exactly as long as it is */
    memcpy(message, data + 1, size - 1);
    take[data[0] % 4](message, size - 1);
    free(message);
    return 0;
}
