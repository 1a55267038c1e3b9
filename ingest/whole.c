/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/whole.h"

#include "base/file.h"

#include <stdint.h>
#include <string.h>

enum { TAIL = 1 << 16 };

/* A number of `bytes` bytes, most significant first. Nothing is read behind the end: what is missing is 0. */
static uint64_t big(const uint8_t *data, size_t size, size_t at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (at < size && i < size - at ? data[at + i] : 0);
    return value;
}

static uint64_t little(const uint8_t *data, size_t size, size_t at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | (at < size && i < size - at ? data[at + i] : 0);
    return value;
}

static bool starts_with(const uint8_t *data, size_t size, size_t at, const char *bytes, size_t n)
{
    return at < size && size - at >= n && memcmp(data + at, bytes, n) == 0;
}

/* The last place of `bytes` in the tail of the file; `size` if there is none. */
static size_t find_last(const uint8_t *data, size_t size, const char *bytes, size_t n)
{
    for (size_t at = size; at > 0 && size - at < TAIL;)
        if (starts_with(data, size, --at, bytes, n))
            return at;
    return size;
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* Some writers append bytes of their own to the end of a PNG or JPEG. */
static bool has_in_tail(const uint8_t *data, size_t size, const char *bytes, size_t n)
{
    size_t tail = size < 4096 ? size : 4096;
    return memmem(data + size - tail, tail, bytes, n) != NULL;
}

/* The end of the sub-blocks that begin at `at`: lengths of a byte each, up to a length of 0. */
static size_t gif_blocks_end(const uint8_t *data, size_t size, size_t at)
{
    while (at < size && data[at])
        at += data[at] + (size_t)1;
    return at + 1;
}

static size_t gif_colours(uint8_t flags)
{
    return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

static bool gif_is_cut(const uint8_t *data, size_t size)
{
    size_t at = size < 13 ? size : 13 + gif_colours(data[10]);
    while (at < size) {
        if (data[at] == ';')
            return false;
        if (data[at] == '!')
            at = gif_blocks_end(data, size, at + 2);
        else if (data[at] == ',' && size - at > 10)
            at = gif_blocks_end(data, size, at + 11 + gif_colours(data[at + 9]));
        else
            return data[at] == ','; /* no GIF any more: damaged, and decoders stop here */
    }
    return true;
}

/* ---- films ------------------------------------------------------------------------------------------------------ */

/* AVI, WAV, WebP: chunks with their sizes. A recording that nobody finished has 0 or the largest number there. */
static bool riff_is_cut(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (starts_with(data, size, at, "RIFF", 4)) {
        uint64_t len = little(data, size, at + 4, 4);
        if (len == 0 || len == UINT32_MAX)
            return false;
        if (len > size - at || size - at - len < 8)
            return true;
        at += 8 + (size_t)len + (len & 1);
        if (at >= size)
            break;
    }
    return false;
}

static bool is_box_name(const uint8_t *name)
{
    static const char names[][5] = {"ftyp", "styp", "moov", "moof", "mdat", "free", "skip", "wide", "pnot"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (memcmp(name, names[i], 4) == 0)
            return true;
    return false;
}

/* MP4, MOV: boxes with their sizes; 0 reaches to the end, 1 is followed by a size of 8 bytes. */
static bool boxes_are_cut(const uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= 8;) {
        uint64_t len = big(data, size, at, 4);
        if (len == 1)
            len = big(data, size, at + 8, 8);
        if (len == 0)
            return false;
        if (len < 8)
            return false; /* no box: bytes that some tool appended */
        if (len > size - at)
            return true;
        at += (size_t)len;
    }
    return false;
}

/* An EBML number at *at: the zero bits at its beginning count its bytes. UINT64_MAX: all bits are one, "unknown". */
static uint64_t ebml_number(const uint8_t *data, size_t size, size_t *at)
{
    size_t bytes = 1;
    uint8_t first = *at < size ? data[*at] : 0x80;
    while (bytes < 8 && !(first & (0x80 >> (bytes - 1))))
        bytes++;
    uint64_t all = ((uint64_t)1 << (7 * bytes)) - 1, value = big(data, size, *at, bytes) & all;
    *at += bytes;
    return value == all ? UINT64_MAX : value;
}

/* Matroska, WebM: the header, then one segment that holds everything. */
static bool matroska_is_cut(const uint8_t *data, size_t size)
{
    size_t at = 4;
    uint64_t header = ebml_number(data, size, &at);
    if (header > 4096)
        return false;
    at += (size_t)header;
    if (at + 4 > size)
        return true;
    if (!starts_with(data, size, at, "\x18\x53\x80\x67", 4))
        return false;
    at += 4;
    uint64_t segment = ebml_number(data, size, &at);
    return segment != UINT64_MAX && (at > size || segment > size - at);
}

/* Behind each tag stands its size, that of its data and 11 bytes of its head. */
static bool flv_is_cut(const uint8_t *data, size_t size)
{
    uint64_t tag = size > 13 ? big(data, size, size - 4, 4) : 0;
    return tag < 11 || tag > size - 13 || big(data, size, size - 4 - (size_t)tag + 1, 3) + 11 != tag;
}

/* MPEG transport streams: packets of one size; some writers put a time of 4 bytes before or a check of 16 behind each. */
static bool transport_is_cut(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {188, 192, 204};
    for (size_t i = 0; i < 3; i++) {
        size_t step = steps[i], first = step == 192 ? 4 : 0, n = 0;
        while (n < 5 && first + n * step < size && data[first + n * step] == 0x47)
            n++;
        if (n == 5)
            return size % step != 0;
    }
    return false;
}

/* MPEG program streams: packs and packets with their sizes, from the last pack on. */
static bool program_is_cut(const uint8_t *data, size_t size)
{
    size_t at = find_last(data, size, "\0\0\1\xba", 4);
    if (at == size)
        return false;
    if (size - at < 14)
        return true;
    at += (data[at + 4] & 0xc0) == 0x40 ? 14 + (size_t)(data[at + 13] & 7) : 12; /* MPEG-2, MPEG-1 */
    while (starts_with(data, size, at, "\0\0\1", 3) && size - at >= 6 && data[at + 3] != 0xb9)
        at += 6 + (size_t)big(data, size, at + 4, 2);
    return at > size || (size - at < 6 && !starts_with(data, size, at, "\0\0\1\xb9", 4) && at != size);
}

/* The last page must be all there and say that it is the last one. */
static bool ogg_is_cut(const uint8_t *data, size_t size)
{
    size_t at = find_last(data, size, "OggS", 4);
    if (at == size || size - at < 27)
        return true;
    size_t n = data[at + 26], end = at + 27 + n;
    for (size_t i = 0; i < n && at + 27 + i < size; i++)
        end += data[at + 27 + i];
    return end > size || !(data[at + 5] & 4);
}

/* ASF, WMV: an object in the header has the size of the file, unless it was broadcast. */
static bool asf_is_cut(const uint8_t *data, size_t size)
{
    static const char properties[] = "\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65";
    const uint8_t *found = memmem(data, size < TAIL ? size : TAIL, properties, 16);
    if (!found)
        return size < TAIL;
    size_t at = (size_t)(found - data);
    bool broadcast = little(data, size, at + 88, 4) & 1;
    return !broadcast && little(data, size, at + 40, 8) > size;
}

/* MXF: the first partition says where the last one begins. */
static bool mxf_is_cut(const uint8_t *data, size_t size)
{
    uint8_t len = size > 16 ? data[16] : 0;
    size_t at = 17 + (len & 0x80 ? len & 0x7f : 0);
    return big(data, size, at + 24, 8) >= size;
}

bool ingest_is_cut(const void *bytes, size_t size)
{
    const uint8_t *data = bytes;
    if (starts_with(data, size, 0, "\x89PNG", 4))
        return !has_in_tail(data, size, "IEND", 4);
    if (starts_with(data, size, 0, "\xff\xd8\xff", 3))
        return !has_in_tail(data, size, "\xff\xd9", 2);
    if (starts_with(data, size, 0, "GIF8", 4))
        return gif_is_cut(data, size);
    if (starts_with(data, size, 0, "RIFF", 4))
        return riff_is_cut(data, size);
    if (size >= 8 && is_box_name(data + 4))
        return boxes_are_cut(data, size);
    if (starts_with(data, size, 0, "\x1a\x45\xdf\xa3", 4))
        return matroska_is_cut(data, size);
    if (starts_with(data, size, 0, "FLV", 3))
        return flv_is_cut(data, size);
    if (starts_with(data, size, 0, "\0\0\1\xba", 4))
        return program_is_cut(data, size);
    if (starts_with(data, size, 0, "OggS", 4))
        return ogg_is_cut(data, size);
    if (starts_with(data, size, 0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", 8))
        return asf_is_cut(data, size);
    if (starts_with(data, size, 0, "\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", 14))
        return mxf_is_cut(data, size);
    return transport_is_cut(data, size);
}

static void put_number(uint8_t *out, uint32_t value, bool big_end)
{
    for (int i = 0; i < 4; i++)
        out[big_end ? 3 - i : i] = (uint8_t)(value >> (8 * i));
}

size_t ingest_end_png(void *bytes, size_t size)
{
    static const char end[] = "\0\0\0\0IEND\xae\x42\x60\x82";
    uint8_t *data = bytes;
    size_t at = 8;
    bool pixels = false;
    if (!starts_with(data, size, 0, "\x89PNG", 4))
        return 0;
    for (uint64_t len; at < size && size - at >= 12 && (len = big(data, size, at, 4)) <= size - at - 12;
         at += 12 + (size_t)len)
        pixels |= starts_with(data, size, at + 4, "IDAT", 4);
    if (starts_with(data, size, at + 4, "IDAT", 4) && size - at < UINT32_MAX) {
        /* The last piece of pixels ends here; decoders don't look at its check sum. */
        put_number(data + at, (uint32_t)(size - at - 8), true);
        memset(data + size, 0, 4);
        at = size + 4;
    } else if (!pixels || at > size) {
        return 0;
    }
    memcpy(data + at, end, 12);
    return at + 12;
}

size_t ingest_end_webp(void *bytes, size_t size)
{
    uint8_t *data = bytes;
    size_t at = 12, end = 0;
    if (!starts_with(data, size, 0, "RIFF", 4) || !starts_with(data, size, 8, "WEBP", 4))
        return 0;
    while (at < size && size - at >= 8) {
        uint64_t len = little(data, size, at + 4, 4) + 8;
        len += len & 1;
        if (len > size - at)
            break;
        bool frame = starts_with(data, size, at, "ANMF", 4);
        at += (size_t)len;
        end = frame ? at : end;
    }
    if (end > 0)
        put_number(data + 4, (uint32_t)(end - 8), false);
    return end;
}

/* TIFF 6.0, section 2: directories that each end with the place of the next one. */
size_t ingest_tiff_pages(const void *bytes, size_t size)
{
    enum { ENTRY = 12, LEAST = 2 + ENTRY + 4 /* bytes of a directory */ };
    const uint8_t *data = bytes;
    bool least_first = starts_with(data, size, 0, "II*\0", 4);
    if (!least_first && !starts_with(data, size, 0, "MM\0*", 4))
        return 1;
    uint64_t (*number)(const uint8_t *, size_t, size_t, size_t) = least_first ? little : big;
    size_t pages = 0;
    for (uint64_t at = number(data, size, 4, 4); at != 0; pages++) {
        uint64_t entries = at < size ? number(data, size, (size_t)at, 2) : 0;
        uint64_t end = at + 2 + entries * ENTRY;
        if (entries == 0 || end + 4 > size || pages > size / LEAST) /* more than there is room for: a circle */
            return 1;
        at = number(data, size, (size_t)end, 4);
    }
    return pages > 0 ? pages : 1;
}

size_t ingest_tiff_pages_file(const char *path)
{
    struct base_map map;
    if (base_file_map(path, &map) < 0)
        return 1;
    size_t pages = ingest_tiff_pages(map.data, map.size);
    base_file_unmap(&map);
    return pages;
}

bool ingest_is_cut_file(const char *path)
{
    struct base_map map;
    if (base_file_map(path, &map) < 0)
        return false;
    bool cut = map.size > 0 && ingest_is_cut(map.data, map.size);
    base_file_unmap(&map);
    return cut;
}
