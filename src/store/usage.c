/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct err *count_rows(struct store *s, struct store_usage *u)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	bool row = false;
	TRY(query_open(locked,
		"SELECT (SELECT count(*) FROM blobs), (SELECT coalesce(sum(size), 0) FROM blobs),"
		" (SELECT count(*) FROM trees), (SELECT coalesce(sum(size), 0) FROM trees), (SELECT count(*) "
		"FROM records)",
		&q));
	TRY(query_step(&q, &row));
	u->blob_count = (uint64_t)column_int(&q, 0);
	u->blob_bytes = (uint64_t)column_int(&q, 1);
	u->tree_count = (uint64_t)column_int(&q, 2);
	u->tree_bytes = (uint64_t)column_int(&q, 3);
	u->record_count = (uint64_t)column_int(&q, 4);
	return NULL;
}

struct err *store_partial_totals(struct store *s, const char *prefix, uint64_t *count, uint64_t *bytes)
{
	AUTO_STRVEC struct strvec names = {0};
	struct stat st;
	*count = *bytes = 0;
	TRY(dir_list(s->fd, "partial", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("partial/%s", names.ptr[i]);
		/* One that ended meanwhile is none. */
		if (!cstr_starts(names.ptr[i], prefix) || fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		(*count)++;
		*bytes += (uint64_t)st.st_size;
	}
	return NULL;
}

struct err *store_usage(struct store *s, struct store_usage *out)
{
	struct store_usage u = {0};
	TRY(count_rows(s, &u));
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(s->fd, "volumes", &names));
	for (size_t i = 0; i < names.len; i++) {
		if (cstr_ends(names.ptr[i], ".used"))
			continue;
		AUTO_FREE char *path = mem_printf("volumes/%s", names.ptr[i]);
		u.volume_count++;
		u.volume_bytes += disk_usage(s->fd, path);
	}
	struct store_gc_options all = {.all = true, .dry_run = true};
	struct store_gc_result would = {0};
	TRY(store_gc(s, &all, NULL, &would));
	u.reclaimable_bytes = would.bytes;
	TRY(fd_free_space(s->fd, &u.free_bytes));
	*out = u;
	return NULL;
}
