/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evidence logs: the input is a whole log. When its first byte is odd, that byte is set right and so are all checksums, so that
 * mutations get past them and reach what lies behind.
 */
#include "memory/evidence_format.h"
#include "memory/evidence_tails.h"
#include "tests/fuzz/fuzz.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void mend(char *data, size_t size)
{
    struct disk_file file;
    memcpy(&file, data, sizeof file);
    memcpy(file.magic, EVIDENCE_FILE_MAGIC, sizeof file.magic);
    file.version = EVIDENCE_VERSION;
    file.checksum = base_hash64(&file, offsetof(struct disk_file, checksum));
    memcpy(data, &file, sizeof file);
    for (size_t at = sizeof file; at + sizeof(struct disk_record) <= size;) {
        struct disk_record record;
        memcpy(&record, data + at, sizeof record);
        bool whole = record.size >= sizeof record && record.size <= size - at && record.size % EVIDENCE_ALIGN == 0;
        if (whole) {
            record.magic = EVIDENCE_MAGIC;
            record.offset = at;
            memcpy(&record.source, file.source, sizeof record.source);
            record.body = base_hash64(data + at + sizeof record, record.size - sizeof record);
            record.checksum = base_hash64(&record, offsetof(struct disk_record, checksum));
            memcpy(data + at, &record, sizeof record);
        }
        at += whole ? record.size : EVIDENCE_ALIGN;
    }
}

/* Reads all of a segment, so that a sanitizer sees what lies outside. */
static unsigned touch(const struct evidence_segment *segment, const struct evidence_setup *setup)
{
    unsigned sum = (unsigned)strlen(segment->label);
    for (size_t i = 0; i < segment->n_lines; i++)
        sum += (unsigned)strlen(segment->lines[i].text);
    for (size_t i = 0; i < segment->n_tokens; i++)
        sum += segment->tokens[i].n;
    if (segment->n_tokens && setup) {
        size_t bytes = segment->n_tokens * compute_row_bytes((enum type)setup->row_type, setup->columns);
        sum += ((const unsigned char *)segment->rows)[bytes - 1] + (segment->mean[setup->columns - 1] > 0);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("evidence", MFD_CLOEXEC);
    if (fd < 0 || size < sizeof(struct disk_file) || size > 1 << 20) {
        close(fd);
        return 0;
    }
    char *copy = malloc(size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    if (copy[0] & 1)
        mend(copy, size);
    if (write(fd, copy, size) != (ssize_t)size)
        abort();
    free(copy);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct evidence *evidence;
    volatile unsigned sum = 0;
    if (memory_evidence_open(path, NULL, &evidence) >= 0) {
        sum += (unsigned)strlen(memory_evidence_info(evidence)->title);
        for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
            struct evidence_segment segment;
            const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_VISUAL);
            if (memory_evidence_read(evidence, i, &segment) < 0)
                continue;
            sum += touch(&segment, setup && setup->number == segment.setup ? setup : NULL);
            memory_evidence_release(&segment);
        }
        for (int64_t tokens = 64; tokens > 0; tokens /= 4) {
            struct tails tails;
            if (memory_tails_choose(evidence, tokens, -1, &tails) >= 0)
                memory_tails_finish(&tails);
        }
        memory_evidence_close(evidence);
    }
    (void)sum;
    struct evidence_writer *writer;
    unsigned char source[BASE_HASH_BYTES];
    memcpy(source, data + offsetof(struct disk_file, source), sizeof source);
    if (memory_evidence_writer_open(path, source, NULL, &writer) >= 0) {
        if (memory_evidence_commit(writer, &(struct evidence_progress){.units = 1}) < 0)
            abort();
        memory_evidence_writer_close(writer);
        if (memory_evidence_open(path, source, &evidence) < 0 || memory_evidence_progress(evidence).units != 1)
            abort();
        memory_evidence_close(evidence);
    }
    close(fd);
    return 0;
}
