/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_reader_internal.h"

#include "archive/tar_header_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>

#define IN_SIZE (512u * 1024u)
#define DEFAULT_MAX_BYTES (UINT64_C(256) << 30)
#define DEFAULT_MAX_ENTRIES UINT64_C(10000000)
#define DEFAULT_MAX_PATH 4096u
/* Data of entries beyond the bytes that came: holes of sparse files, which cost their maker nothing. */
#define HOLES_MAX (UINT64_C(8) << 20)
/* What may follow an archive's end: padding to records of any size, but not what a program never stops
 * writing. */
#define TRAILING_MAX (UINT64_C(256) << 20)

struct tar_reader {
	struct archive *a;
	byte_source *source;
	void *ctx;
	uint8_t *in;
	uint64_t in_total; /* bytes the source gave so far */
	uint64_t read;     /* data that tar_entry_read gave so far */
	bool source_ended;
	struct err *source_error;
	struct tar_limits limits;
	uint64_t entries, bytes;
	int64_t next_header;          /* where the reader looked for a header last */
	char name[TAR_NAME_TEXT_MAX]; /* of the entry at hand, for messages */
	locale_t plain;
};

/*
 * libarchive converts names of pax headers to the charset of the locale. In the "C" locale it finds that it
 * cannot and leaves the bytes alone, which is what we want: names are bytes.
 */
#define IN_C_LOCALE(r, call)                           \
	({                                             \
		locale_t _was = uselocale((r)->plain); \
		__auto_type _rc = (call);              \
		uselocale(_was);                       \
		_rc;                                   \
	})

const char *tar_name_text(const char *path, char out[TAR_NAME_TEXT_MAX])
{
	size_t n = 0;
	for (; path[n] && n < TAR_NAME_TEXT_MAX - 1; n++)
		out[n] = (unsigned char)path[n] < 0x20 || path[n] == 0x7f ? '?' : path[n];
	if (path[n])
		memcpy(out + n - 3, "...", 3);
	out[n] = 0;
	return out;
}

static struct err *pull(struct tar_reader *r, size_t *len)
{
	*len = 0;
	if (r->source_ended)
		return NULL;
	*len = IN_SIZE;
	TRY(r->source(r->ctx, r->in, len));
	r->in_total += *len;
	r->source_ended = *len == 0;
	return NULL;
}

static la_ssize_t read_callback(struct archive *a, void *ctx, const void **p)
{
	struct tar_reader *r = ctx;
	size_t len;
	if (r->source_error)
		return -1;
	r->source_error = pull(r, &len);
	if (r->source_error) {
		archive_set_error(a, EIO, "the source failed");
		return -1;
	}
	*p = r->in;
	return (la_ssize_t)len;
}

static struct err *broken(struct tar_reader *r)
{
	if (r->source_error)
		return steal(&r->source_error);
	const char *why = archive_error_string(r->a);
	if (!why)
		why = "damaged";
	if (strstr(why, "Unrecognized archive format"))
		return err_new(ERR_CORRUPT, "not a tar archive");
	if (r->entries == 0)
		return err_new(ERR_CORRUPT, "tar archive: %s, at its first entry", why);
	return err_new(ERR_CORRUPT, "tar archive: %s, at or after entry '%s'", why, r->name);
}

static bool is_empty(const struct tar_reader *r)
{
	return r->source_ended && r->in_total == 0 && !r->source_error;
}

struct err *tar_reader_open(
	byte_source *source, void *ctx, const struct tar_limits *limits, struct tar_reader **out)
{
	AUTO(tar_reader_freep) struct tar_reader *r = mem_new(struct tar_reader);
	r->source = source;
	r->ctx = ctx;
	if (limits)
		r->limits = *limits;
	r->limits.max_bytes = r->limits.max_bytes ? r->limits.max_bytes : DEFAULT_MAX_BYTES;
	r->limits.max_entries = r->limits.max_entries ? r->limits.max_entries : DEFAULT_MAX_ENTRIES;
	r->limits.max_path = r->limits.max_path ? r->limits.max_path : DEFAULT_MAX_PATH;
	r->in = mem_alloc(IN_SIZE);
	r->plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	r->a = archive_read_new();
	if (!r->a || !r->plain)
		return err_new(ERR_IO, "tar: out of memory");
	if (archive_read_support_format_tar(r->a) != ARCHIVE_OK)
		return broken(r);
	/* Of no bytes at all libarchive knows no format: tar_reader_next takes it as no entries. */
	if (IN_C_LOCALE(r, archive_read_open(r->a, r, NULL, read_callback, NULL)) != ARCHIVE_OK &&
		!is_empty(r))
		return broken(r);
	*out = steal(&r);
	return NULL;
}

void tar_reader_freep(struct tar_reader **rp)
{
	struct tar_reader *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	if (r->a)
		archive_read_free(r->a);
	if (r->plain)
		freelocale(r->plain);
	err_freep(&r->source_error);
	mem_freep(&r->in);
	mem_freep(&r);
}

static struct err *check_limits(struct tar_reader *r, struct archive_entry *e, const char *path)
{
	if (++r->entries > r->limits.max_entries)
		return err_new(ERR_INVALID, "tar archive: more than %" PRIu64 " entries, at '%s'",
			r->limits.max_entries, r->name);
	const char *link = archive_entry_hardlink(e) ? archive_entry_hardlink(e) : archive_entry_symlink(e);
	if (strlen(path) > r->limits.max_path || (link && strlen(link) > r->limits.max_path))
		return err_new(ERR_INVALID,
			"tar entry '%s': its name or target is longer than %" PRIu64 " bytes", r->name,
			r->limits.max_path);
	int64_t size = archive_entry_size(e);
	char is[CLOCK_TEXT_MAX], max[CLOCK_TEXT_MAX];
	if (size < 0)
		return err_new(ERR_INVALID, "tar entry '%s': negative size", r->name);
	if ((uint64_t)size > r->limits.max_bytes - r->bytes)
		return err_new(ERR_INVALID,
			"tar entry '%s': with its %s the archive holds more than the %s it may", r->name,
			size_text((uint64_t)size, is), size_text(r->limits.max_bytes, max));
	r->bytes += (uint64_t)size;
	return NULL;
}

/* Names that the C locale cannot show are left as they are: no damage. */
static bool harmless_warning(struct archive *a)
{
	const char *why = archive_error_string(a);
	return why && strstr(why, "can't be converted");
}

struct err *tar_reader_next(struct tar_reader *r, struct archive_entry **out)
{
	*out = NULL;
	struct archive_entry *e = NULL;
	if (is_empty(r))
		return NULL;
	int rc = IN_C_LOCALE(r, archive_read_next_header(r->a, &e));
	r->next_header = archive_read_header_position(r->a);
	if (!r->source_error && (rc == ARCHIVE_EOF || is_empty(r)))
		return NULL;
	if (r->source_error || (rc != ARCHIVE_OK && !(rc == ARCHIVE_WARN && harmless_warning(r->a))))
		return broken(r);
	const char *path = IN_C_LOCALE(r, archive_entry_pathname(e));
	if (!path || !*path)
		return err_new(ERR_CORRUPT, "tar archive: an entry without a name after '%s'", r->name);
	tar_name_text(path, r->name);
	TRY(check_limits(r, e, path));
	*out = e;
	return NULL;
}

struct err *tar_reader_data(struct tar_reader *r, const void **p, size_t *len, uint64_t *offset)
{
	int64_t at = 0;
	int rc = IN_C_LOCALE(r, archive_read_data_block(r->a, p, len, &at));
	*offset = (uint64_t)at;
	if (rc == ARCHIVE_EOF) {
		*len = 0;
		return NULL;
	}
	return rc == ARCHIVE_OK ? NULL : broken(r);
}

struct err *tar_reader_drain(struct tar_reader *r, bool lenient)
{
	const uint64_t max = r->in_total + TRAILING_MAX;
	for (size_t n = 1; n > 0;) {
		TRY(pull(r, &n));
		if (r->in_total > max)
			return err_new(ERR_INVALID, "tar archive: it goes on after its end");
	}
	if (!lenient && r->in_total < (uint64_t)r->next_header + TAR_BLOCK)
		return err_new(ERR_CORRUPT, "tar archive: truncated, it ends without its end marker%s%s%s",
			r->entries ? " after entry '" : "", r->name, r->entries ? "'" : "");
	return NULL;
}

struct err *tar_entry_read(struct tar_reader *r, void *p, size_t *len)
{
	la_ssize_t n = IN_C_LOCALE(r, archive_read_data(r->a, p, *len));
	if (n < 0)
		return broken(r);
	r->read += (uint64_t)n;
	if (r->read > r->in_total + HOLES_MAX)
		return err_new(
			ERR_INVALID, "tar entry '%s': a sparse file with more in it than came", r->name);
	*len = (size_t)n;
	return NULL;
}

static int64_t mtime_ns(struct archive_entry *e)
{
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)archive_entry_mtime(e), CLOCK_SECOND, &ns) ||
		__builtin_add_overflow(ns, (int64_t)archive_entry_mtime_nsec(e), &ns))
		return archive_entry_mtime(e) < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static struct err *tell(struct tar_reader *r, struct archive_entry *a,
	struct err *(*fn)(void *, struct tar_reader *, const struct tar_entry *), void *fn_ctx)
{
	const char *hardlink = archive_entry_hardlink(a);
	int64_t uid = archive_entry_uid(a), gid = archive_entry_gid(a);
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_new(ERR_INVALID, "tar entry '%s': owner out of range", r->name);
	struct tar_entry e = {
		.path = archive_entry_pathname(a),
		.link = hardlink ? hardlink : archive_entry_symlink(a),
		.hardlink = hardlink != NULL,
		.mode = archive_entry_mode(a),
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
		.size = (uint64_t)archive_entry_size(a),
		.mtime = mtime_ns(a),
		.rdev_major = (uint32_t)archive_entry_rdevmajor(a),
		.rdev_minor = (uint32_t)archive_entry_rdevminor(a),
	};
	return fn(fn_ctx, r, &e);
}

struct err *tar_each(byte_source *source, void *ctx, const struct tar_limits *limits,
	struct err *(*fn)(void *fn_ctx, struct tar_reader *r, const struct tar_entry *e), void *fn_ctx)
{
	AUTO(tar_reader_freep) struct tar_reader *r = NULL;
	TRY(tar_reader_open(source, ctx, limits, &r));
	for (;;) {
		struct archive_entry *a;
		TRY(tar_reader_next(r, &a));
		if (!a)
			break;
		TRY(tell(r, a, fn, fn_ctx));
	}
	return tar_reader_drain(r, false);
}

bool tar_looks_like(const void *p, size_t len)
{
	const uint8_t *b = p;
	return len >= TAR_BLOCK && b[0] != 0 && tar_header_checksum_ok(b);
}
