/* What is packed by deflate, through zlib: gzip files, and the files within zip files. */
#include "files/files.h"
#include <zlib.h>

#define MAX_PIECE ((size_t)1 << 30) /* at once: zlib counts in 32 bits */

static uInt zlib_piece(size_t count) { return (uInt)(count < MAX_PIECE ? count : MAX_PIECE); }

/* Unpacks until `count` bytes are there or the data ends: Z_OK where more may follow. */
static int unpack_stream(z_stream *stream, size_t *packed, unsigned char *out, size_t count) {
    int status = Z_OK;
    while (count > 0 && status == Z_OK) {
        if (!stream->avail_in) *packed -= stream->avail_in = zlib_piece(*packed);
        uInt room = stream->avail_out = zlib_piece(count);
        stream->next_out = out;
        status = inflate(stream, Z_NO_FLUSH);
        out += room - stream->avail_out;
        count -= room - stream->avail_out;
        bool another = status == Z_STREAM_END && (stream->avail_in || *packed) && count;
        if (another) status = inflateReset(stream); /* gzip files may follow each other in one */
    }
    return count == 0 && (status == Z_OK || status == Z_STREAM_END) ? Z_OK : status;
}

/* Behind the last byte there is the checksum, which zlib compares, and nothing else. */
static bool has_ended(z_stream *stream, size_t *packed, int *status) {
    unsigned char more;
    *status = unpack_stream(stream, packed, &more, 1);
    return *status == Z_STREAM_END;
}

static const char *what_is_wrong(const z_stream *stream, int status) {
    if (status == Z_OK) return "it holds more than it claims";
    if (status == Z_BUF_ERROR || status == Z_STREAM_END) return "the file is cut off";
    return stream->msg ? stream->msg : "its data is damaged";
}

bool cai_inflate(const char *path, int window, const unsigned char *bytes, size_t packed, unsigned char *out,
                 uint64_t count, cai_error *error) {
    z_stream stream = {.next_in = (unsigned char *)bytes};
    if (inflateInit2(&stream, window) != Z_OK) return cai_fail_memory(error, 65536, path);
    int status = unpack_stream(&stream, &packed, out, (size_t)count);
    bool done = status == Z_OK && has_ended(&stream, &packed, &status);
    if (!done) cai_fail(error, CAI_BAD_INPUT, "%s: broken: %s", path, what_is_wrong(&stream, status));
    inflateEnd(&stream);
    return done;
}

bool cai_inflates_to(size_t packed, uint64_t count) { return count / 1032 <= packed; }

size_t cai_inflate_begin(int window, const unsigned char *bytes, size_t packed, unsigned char *out,
                         size_t max) {
    z_stream stream = {.next_in = (unsigned char *)bytes,
                       .avail_in = zlib_piece(packed),
                       .next_out = out,
                       .avail_out = (uInt)max};
    if (inflateInit2(&stream, window) != Z_OK) return 0;
    inflate(&stream, Z_NO_FLUSH);
    inflateEnd(&stream);
    return max - stream.avail_out;
}
